"""Lanes: who gets which, and what the files say. (With a real Caddy: test_caddy_swap.py.)"""

import asyncio
import os
import shutil
import stat
import threading
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from tidegate_controller.core.spec import Traffic
from tidegate_controller.errors import TrafficError
from tidegate_controller.traffic import caddy as caddy_module
from tidegate_controller.traffic.caddy import (
    NOWHERE,
    Caddy,
    allocate,
    caddyfile_upstreams,
    lane_files,
)

A, B, C, D = (f"10.0.0.{number}:8001" for number in range(1, 5))
addresses = some.sampled_from([A, B, C, D, "localhost:80", "[::1]:9000"])
weightings = some.dictionaries(addresses, some.integers(0, 1000))
lanes = some.lists(some.one_of(some.none(), some.just(NOWHERE), addresses), min_size=6, max_size=40)


def spec(tmp_path: Path, lanes: int = 20) -> Traffic:
    return Traffic(adapter="caddy", directory=str(tmp_path / "traffic"), lanes=lanes)


def contents(settings: Traffic) -> list[str]:
    return [file.read_text() for file in lane_files(settings)]


# -- allocation -------------------------------------------------------------------------------


@given(lanes, weightings)
def test_every_lane_is_given_to_an_address_with_weight_or_to_nobody(current, weights):
    given_to = set(allocate(current, weights))
    positive = {address for address, weight in weights.items() if weight > 0}
    assert given_to == (positive or {NOWHERE})


@given(lanes, weightings)
def test_no_address_is_more_than_a_lane_away_from_its_exact_share_unless_it_has_the_least(
    current, weights
):
    counts, total = Counter(allocate(current, weights)), sum(weights.values())
    positive = {address: weight for address, weight in weights.items() if weight > 0}
    raised = any(weight * len(current) < total for weight in positive.values())
    for address, weight in positive.items():
        exact = weight * len(current) / total
        if exact <= 1:
            assert counts[address] == 1
        elif raised:  # somebody else has a whole lane for less
            assert counts[address] < exact + 1
        else:
            assert abs(counts[address] - exact) < 1


@given(lanes, weightings)
def test_a_higher_weight_never_gets_fewer_lanes(current, weights):
    counts = Counter(allocate(current, weights))
    ordered = sorted((weight, counts[address]) for address, weight in weights.items())
    for (lower, fewer), (higher, more) in pairwise(ordered):
        assert lower == higher or fewer <= more


@given(lanes, weightings)
def test_a_lane_changes_only_where_the_shares_leave_no_choice(current, weights):
    wanted = allocate(current, weights)
    kept = sum(old == new for old, new in zip(current, wanted, strict=True))
    held, shares = Counter(lane for lane in current if lane), Counter(wanted)
    assert kept == sum(min(held[address], share) for address, share in shares.items())


@given(lanes, weightings)
def test_the_same_weights_again_change_nothing(current, weights):
    once = allocate(current, weights)
    assert allocate(once, weights) == once


@given(lanes, weightings)
def test_the_order_in_which_weights_are_named_does_not_matter(current, weights):
    assert allocate(current, weights) == allocate(current, dict(reversed(weights.items())))


@given(some.integers(6, 40), weightings)
def test_the_turns_of_an_address_are_spread_over_the_round(count, weights):
    wanted = allocate([None] * count, weights)
    for address, share in Counter(wanted).items():
        turns = [number for number, lane in enumerate(wanted) if lane == address]
        gaps = [b - a for a, b in pairwise([*turns, turns[0] + count])]
        # in the ideal order of turns nobody waits much longer than a whole interval
        assert max(gaps) < 2 * count / share + len(set(wanted))


def test_two_equal_nodes_take_turns():
    assert allocate([None] * 6, {A: 1, B: 1}) == [A, B, A, B, A, B]


def test_a_third_node_takes_its_lanes_from_all_over_the_round():
    two = allocate([None] * 20, {A: 1, B: 1})
    three = allocate(two, {A: 1, B: 1, C: 1})
    turns = [number for number, lane in enumerate(three) if lane == C]
    assert turns == [2, 5, 8, 11, 14, 17]


def test_a_swap_of_all_slots_changes_every_lane_and_a_swap_of_one_only_its_own():
    old = allocate([None] * 20, {A: 1, B: 1})
    assert not set(allocate(old, {C: 1, D: 1})) & {A, B}
    one = allocate(old, {A: 1, D: 1})
    assert [lane == A for lane in one] == [lane == A for lane in old]


def test_of_equal_nodes_the_odd_lane_goes_to_one_that_holds_it_already():
    current = [A] * 6 + [B] * 7 + [C] * 7
    assert allocate(current, {A: 1, B: 1, C: 1}) == current


def test_a_small_canary_gets_one_lane_rather_than_none():
    assert Counter(allocate([A] * 20, {A: 99, B: 1})) == {A: 19, B: 1}


def test_with_no_weight_at_all_every_lane_leads_nowhere():
    assert allocate([A, B], {}) == allocate([A, B], {A: 0, B: 0}) == [NOWHERE, NOWHERE]


def test_more_addresses_than_lanes_are_refused_and_the_hint_names_the_setting():
    with pytest.raises(TrafficError) as caught:
        allocate([None] * 2, {A: 1, B: 1, C: 1})
    assert "3 addresses" in caught.value.message
    assert "raise `lanes`" in caught.value.hint


# -- files ------------------------------------------------------------------------------------


async def test_a_shift_writes_each_lane_without_a_line_end_and_reads_back_the_shares(tmp_path):
    settings = spec(tmp_path)
    balancer = Caddy(settings)
    await balancer.shift({A: 100, B: 100})
    assert contents(settings) == [A, B] * 10
    assert await balancer.state() == {A: 10, B: 10}


async def test_a_shift_to_nothing_is_a_state_without_addresses(tmp_path):
    balancer = Caddy(spec(tmp_path))
    await balancer.shift({A: 1})
    await balancer.shift({A: 0})
    assert await balancer.state() == {}
    assert set(contents(spec(tmp_path))) == {NOWHERE}


async def test_before_the_first_shift_the_state_is_empty(tmp_path):
    assert await Caddy(spec(tmp_path)).state() == {}


async def test_only_lanes_that_change_are_replaced_and_no_left_over_remains(tmp_path):
    settings = spec(tmp_path)
    balancer = Caddy(settings)
    await balancer.shift({A: 1, B: 1})
    before = [file.stat().st_ino for file in lane_files(settings)]
    await balancer.shift({A: 1, C: 1})
    after = [file.stat().st_ino for file in lane_files(settings)]
    changed = [old != new for old, new in zip(before, after, strict=True)]
    assert changed == [False, True] * 10
    names = [file.name for file in lane_files(settings)]
    kept = [f".{name}.former" for name in names[1::2]]
    assert sorted(os.listdir(tmp_path / "traffic")) == sorted(names + kept)


async def test_the_way_back_syncs_the_directory_and_nothing_else(tmp_path, monkeypatch):
    settings = spec(tmp_path)
    balancer = Caddy(settings)
    await balancer.shift({A: 1, B: 1})
    await balancer.shift({C: 1, D: 1})
    synced = []
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(os.readlink(f"/proc/self/fd/{fd}")))
    for target in ({A: 1, B: 1}, {C: 1, D: 1}, {A: 1, B: 1}):
        await balancer.shift(target)
        assert await balancer.state() == dict.fromkeys(target, 10)
    assert synced == [settings.directory] * 3


async def test_a_former_lane_that_somebody_has_written_since_is_not_taken(tmp_path):
    settings = spec(tmp_path, lanes=2)
    balancer = Caddy(settings)
    await balancer.shift({A: 1})
    await balancer.shift({B: 1})
    former = tmp_path / "traffic" / ".lane-01.former"
    former.write_text(A)  # the right address, but nobody knows whether it would outlive the power
    os.utime(former, (1, 1))
    inode = former.stat().st_ino
    await balancer.shift({A: 1})
    assert await balancer.state() == {A: 2}
    assert lane_files(settings)[1].stat().st_ino != inode


async def test_a_shift_needs_no_former_lanes(tmp_path, monkeypatch):
    def cannot(self, target):
        raise PermissionError(self, target)

    monkeypatch.setattr(Path, "hardlink_to", cannot)
    settings = spec(tmp_path)
    for target in (A, B, A):
        await Caddy(settings).shift({target: 1})
        assert await Caddy(settings).state() == {target: 20}


async def test_lanes_are_readable_for_caddys_own_user_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        await Caddy(spec(tmp_path)).shift({A: 1})
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(file.stat().st_mode) for file in lane_files(spec(tmp_path))}
    assert modes == {0o644}
    assert stat.S_IMODE((tmp_path / "traffic").stat().st_mode) == 0o755


async def test_a_lane_written_by_hand_with_a_line_end_counts(tmp_path):
    settings = spec(tmp_path, lanes=2)
    await Caddy(settings).shift({A: 1})
    lane_files(settings)[1].write_text(f"{B}\n")
    assert await Caddy(settings).state() == {A: 1, B: 1}


async def test_a_damaged_lane_is_reported_and_mended_by_the_next_shift(tmp_path):
    settings = spec(tmp_path)
    balancer = Caddy(settings)
    await balancer.shift({A: 1})
    lane_files(settings)[3].write_text("what is this")
    for look in (balancer.state, lambda: balancer.check(1)):
        with pytest.raises(TrafficError, match=r"lane-03 holds 'what is this'"):
            await look()
    await balancer.shift({A: 1})
    assert await balancer.state() == {A: 20}


@pytest.mark.parametrize("lanes", [3, 7, 20])
async def test_what_any_shift_leaves_is_as_it_should_be(tmp_path, lanes):
    balancer = Caddy(spec(tmp_path, lanes))
    for weights in ({A: 1, B: 1}, {C: 1, B: 1, D: 1}, {A: 5, D: 1}, {}, {A: 1, B: 2, C: 2}):
        await balancer.shift(weights)
        await balancer.verify(weights)
        await balancer.verify({**weights, "10.0.0.9:80": 0})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda file: file.unlink(), r"1 of 20 lanes in .* are missing \(lane-04\)"),
        (lambda file: file.write_text("what is this"), r"lane-04 holds 'what is this'"),
        (
            lambda file: file.write_text(NOWHERE),
            r"1 of 20 .* elsewhere .* \(lane-04 to 127.0.0.1:0",
        ),
        (lambda file: file.write_text(B), r"1 of 20 lanes .* \(lane-0[0-9] to 10.0.0.2:8001\)"),
        (lambda file: shutil.rmtree(file.parent), r"20 of 20 lanes .*, lane-04, …\)"),
        (lambda file: file.with_name("lane-20").write_text(A), "1 lanes beyond `lanes` = 20"),
    ],
)
async def test_whatever_is_not_as_a_shift_left_it_is_said(tmp_path, damage, said):
    settings = spec(tmp_path)
    await Caddy(settings).shift({A: 1, B: 1})
    damage(lane_files(settings)[4])
    with pytest.raises(TrafficError, match=said) as error:
        await Caddy(settings).verify({A: 1, B: 1})
    assert error.value.hint


async def test_where_a_new_lane_cannot_be_prepared_none_has_moved(tmp_path):
    settings = spec(tmp_path)
    balancer = Caddy(settings)
    await balancer.shift({A: 1})
    (tmp_path / "traffic" / ".lane-19.new").mkdir()
    with pytest.raises(TrafficError, match="could not be written"):
        await balancer.shift({B: 1})
    assert await balancer.state() == {A: 20}


async def test_a_link_in_the_place_of_a_new_lane_is_not_followed(tmp_path):
    await Caddy(spec(tmp_path)).shift({A: 1})
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / "traffic" / ".lane-00.new").symlink_to(victim)
    with pytest.raises(TrafficError, match="could not be written"):
        await Caddy(spec(tmp_path)).shift({B: 1})
    assert victim.read_text() == "precious"


async def test_a_lane_that_does_not_read_back_as_written_is_an_error(tmp_path, monkeypatch):
    rename = Path.replace

    def rename_and_meddle(self, target):
        rename(self, target)
        target.write_text(D)

    monkeypatch.setattr(Path, "replace", rename_and_meddle)
    with pytest.raises(TrafficError, match="does not read back what was written: lane-00"):
        await Caddy(spec(tmp_path)).shift({A: 1})


async def test_lanes_beyond_the_setting_are_refused_since_caddy_may_still_use_them(tmp_path):
    await Caddy(spec(tmp_path, lanes=20)).shift({A: 1})
    fewer = Caddy(spec(tmp_path, lanes=10))
    for act in (lambda: fewer.check(1), lambda: fewer.shift({B: 1})):
        with pytest.raises(TrafficError, match=r"10 lanes beyond `lanes` = 10, from lane-10 on"):
            await act()
    assert set(contents(spec(tmp_path, lanes=20))) == {A}


async def test_a_shift_that_is_cancelled_finishes_before_it_lets_go(tmp_path, monkeypatch):
    entered, go_on = threading.Event(), threading.Event()
    shift = caddy_module._shift

    def slow(settings, weights):
        entered.set()
        assert go_on.wait(10)
        shift(settings, weights)

    monkeypatch.setattr(caddy_module, "_shift", slow)
    balancer = Caddy(spec(tmp_path))
    moving = asyncio.create_task(balancer.shift({A: 1}))
    await asyncio.to_thread(entered.wait, 10)
    for _ in range(2):  # once more, for those in a hurry
        moving.cancel()
        await asyncio.sleep(0)
    assert not moving.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await moving
    assert await balancer.state() == {A: 20}


@pytest.mark.parametrize(
    "address",
    [
        "",
        "8001",
        "host",
        "host:0",
        "host:65536",
        "host:http",
        "a b:80",
        "tcp/h:80",
        "h:80\n",
        "{x}:1",
    ],
)
async def test_what_is_no_address_is_refused_before_anything_is_written(tmp_path, address):
    with pytest.raises(TrafficError, match="is not an address"):
        await Caddy(spec(tmp_path)).shift({address: 1})
    assert not (tmp_path / "traffic").exists()


async def test_a_negative_weight_is_refused(tmp_path):
    with pytest.raises(TrafficError, match="must be 0 or more"):
        await Caddy(spec(tmp_path)).shift({A: -1})


# -- check ------------------------------------------------------------------------------------


async def test_check_makes_the_directory_and_moves_nothing(tmp_path):
    balancer = Caddy(spec(tmp_path))
    await balancer.check(1)
    assert list((tmp_path / "traffic").iterdir()) == []
    await balancer.shift({A: 1})
    await balancer.check(1)


async def test_check_wants_the_parent_of_the_directory(tmp_path):
    missing = Traffic(adapter="caddy", directory=str(tmp_path / "a" / "b"))
    with pytest.raises(TrafficError, match="cannot be made") as caught:
        await Caddy(missing).check(1)
    assert caught.value.hint.endswith(f"mkdir -p {tmp_path / 'a' / 'b'}")


async def test_check_refuses_a_file_in_the_place_of_the_directory(tmp_path):
    (tmp_path / "traffic").write_text("")
    with pytest.raises(TrafficError, match="is not a directory"):
        await Caddy(spec(tmp_path)).check(1)


async def test_check_refuses_a_directory_that_it_may_not_write(tmp_path, monkeypatch):
    (tmp_path / "traffic").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)  # tests may run as root
    with pytest.raises(TrafficError, match="cannot be written by user id"):
        await Caddy(spec(tmp_path)).check(1)


@pytest.mark.parametrize("name", ["a{b}", "a:b", 'a"b', "a\\b", "a\nb", "a`b"])
async def test_a_directory_that_a_placeholder_cannot_hold_is_refused(tmp_path, name):
    unfit = Traffic(adapter="caddy", directory=str(tmp_path / name))
    for act in (
        lambda: Caddy(unfit).check(1),
        Caddy(unfit).state,
        lambda: Caddy(unfit).shift({A: 1}),
    ):
        with pytest.raises(TrafficError, match="cannot hold"):
            await act()


@pytest.mark.parametrize("count", [0, -1, 1001])
def test_the_number_of_lanes_is_bounded(tmp_path, count):
    with pytest.raises(TrafficError, match="between 1 and 1000"):
        lane_files(spec(tmp_path, lanes=count))


def test_upstreams_are_absolute_placeholders_with_their_network(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    relative = Traffic(adapter="caddy", directory="traffic", lanes=2)
    assert caddyfile_upstreams(relative) == [
        f"tcp/{{file.{tmp_path}/traffic/lane-00}}",
        f"tcp/{{file.{tmp_path}/traffic/lane-01}}",
    ]
