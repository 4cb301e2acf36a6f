"""What a folder says about its app: only what its files really say, and never more than a guess."""

import json
from pathlib import Path

import pytest

from tidegate_controller import hints
from tidegate_controller.hints import Hint

HELLO = Path(__file__).parents[2] / "examples/hello"


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("shop", "shop"),
        ("My Shop (2)", "my-shop-2"),
        ("_.shop._", "shop"),
        ("ü", "app"),
        ("a" * 80, "a" * 63),
    ],
)
def test_an_app_is_called_as_its_folder_if_that_is_a_name(
    tmp_path: Path, folder: str, name: str
) -> None:
    (tmp_path / folder).mkdir()
    assert hints.app_name(tmp_path / folder) == name


COMMANDS = [
    (
        "Procfile",
        "worker: a\nweb: gunicorn app:app -b 127.0.0.1:$PORT\n",
        "gunicorn app:app -b 127.0.0.1:{port}",
    ),
    ("Procfile", "web:   ./serve ${PORT}  \n", "./serve {port}"),
    ("Procfile", "web: ./serve $PORTS ${PORT:-80}\n", "./serve $PORTS ${PORT:-80}"),
    ("Procfile", "worker: a\n", None),
    ("package.json", json.dumps({"scripts": {"start": "node server.js"}}), "node server.js"),
    ("package.json", json.dumps({"scripts": {"start": "next start"}}), "npm start"),
    ("package.json", json.dumps({"scripts": {"test": "x"}}), None),
    ("package.json", "[1]", None),
    ("package.json", "{", None),
    ("Dockerfile", 'FROM x\nCMD ["a"]\ncmd ["./serve", "a b"]\n', "./serve 'a b'"),
    ("Dockerfile", "FROM x\nCMD ./serve --port $PORT\n", "./serve --port {port}"),
    ("Dockerfile", "ENTRYPOINT ./serve\n", "./serve"),
    ("Dockerfile", 'ENTRYPOINT ["a"]\nCMD ["b"]\n', None),
    ("Dockerfile", 'CMD ["a", 1]\n', None),
    ("Dockerfile", "FROM x\n", None),
    ("Cargo.toml", '[package]\nname = "shop"\n', "./shop"),
    ("Cargo.toml", "[workspace]\n", None),
    ("go.mod", "module example.com/team/shop\n\ngo 1.22\n", "./shop"),
    ("pyproject.toml", '[project.scripts]\nshop = "shop:main"\n', "shop"),
    ("pyproject.toml", '[project]\nname = "shop"\n', None),
    ("main.py", "print()", "python3 main.py"),
    ("serve.py", "add_argument('--port')", "python3 serve.py --port {port}"),
    ("other.py", "print()", None),
]


@pytest.mark.parametrize(("file", "text", "expected"), COMMANDS)
def test_a_command_is_taken_from_where_others_keep_it(
    tmp_path: Path, file: str, text: str, expected: str | None
) -> None:
    (tmp_path / file).write_text(text)
    assert hints.command(tmp_path) == (Hint(expected, file) if expected else None)


def test_what_says_most_comes_first(tmp_path: Path) -> None:
    for file in ("app.py", "Dockerfile", "Procfile"):
        (tmp_path / file).write_text("web: a\nCMD b\n")
    assert hints.command(tmp_path) == Hint("a", "Procfile")
    (tmp_path / "Procfile").write_text("")
    assert hints.command(tmp_path) == Hint("b", "Dockerfile")


def test_a_health_check_is_taken_from_the_sources(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/app.go").write_text('mux.HandleFunc("/health", health)')
    assert hints.health(tmp_path) == Hint("/health", "src/app.go")
    (tmp_path / "z.py").write_text("if path == '/healthz':")
    assert hints.health(tmp_path) == Hint("/healthz", "z.py")


@pytest.mark.parametrize("folder", ["node_modules", ".git", "tests", "vendor"])
def test_sources_of_others_say_nothing(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "a.py").write_text("'/health'")
    (tmp_path / "README.md").write_text("'/health'")
    (tmp_path / "b.py").write_text("# a /healthy thing")
    assert hints.health(tmp_path) is None


def test_what_cannot_be_read_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "Procfile").write_bytes(b"web: \xff\n")
    (tmp_path / "package.json").mkdir()
    (tmp_path / "Dockerfile").symlink_to("nowhere")
    (tmp_path / "a.py").write_bytes(b"'/health' \xff")
    assert hints.command(tmp_path) is None
    assert hints.health(tmp_path) is None
    assert hints.command(tmp_path / "nowhere") is None


def test_of_many_files_only_some_are_read(tmp_path: Path) -> None:
    for number in range(hints.FILES_MAX + 1):
        (tmp_path / f"{number:04d}.py").write_text("")
    (tmp_path / "0299.py").write_text("'/ready'")
    (tmp_path / "0300.py").write_text("'/healthz'")
    assert hints.health(tmp_path) == Hint("/ready", "0299.py")


def test_the_example_app_is_understood() -> None:
    assert hints.command(HELLO) == Hint("python3 serve.py --port {port}", "serve.py")
    assert hints.health(HELLO) == Hint("/health", "serve.py")
