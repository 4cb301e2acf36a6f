import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Tri(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TRI_UNKNOWN: _ClassVar[Tri]
    TRI_YES: _ClassVar[Tri]
    TRI_NO: _ClassVar[Tri]

class Blame(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    BLAME_UNSPECIFIED: _ClassVar[Blame]
    BLAME_RELEASE: _ClassVar[Blame]
    BLAME_ENVIRONMENT: _ClassVar[Blame]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_OK: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]
    OUTCOME_REFUSED: _ClassVar[Outcome]
    OUTCOME_SUPERSEDED: _ClassVar[Outcome]
    OUTCOME_CANCELLED: _ClassVar[Outcome]
    OUTCOME_EXPIRED: _ClassVar[Outcome]
    OUTCOME_UNKNOWN: _ClassVar[Outcome]
TRI_UNKNOWN: Tri
TRI_YES: Tri
TRI_NO: Tri
BLAME_UNSPECIFIED: Blame
BLAME_RELEASE: Blame
BLAME_ENVIRONMENT: Blame
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_OK: Outcome
OUTCOME_FAILED: Outcome
OUTCOME_REFUSED: Outcome
OUTCOME_SUPERSEDED: Outcome
OUTCOME_CANCELLED: Outcome
OUTCOME_EXPIRED: Outcome
OUTCOME_UNKNOWN: Outcome

class Instruction(_message.Message):
    __slots__ = ("welcome", "command", "acknowledge")
    WELCOME_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ACKNOWLEDGE_FIELD_NUMBER: _ClassVar[int]
    welcome: Welcome
    command: Command
    acknowledge: Acknowledge
    def __init__(self, welcome: _Optional[_Union[Welcome, _Mapping]] = ..., command: _Optional[_Union[Command, _Mapping]] = ..., acknowledge: _Optional[_Union[Acknowledge, _Mapping]] = ...) -> None: ...

class Welcome(_message.Message):
    __slots__ = ("epoch", "heartbeat_seconds", "log_id")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    heartbeat_seconds: float
    log_id: str
    def __init__(self, epoch: _Optional[int] = ..., heartbeat_seconds: _Optional[float] = ..., log_id: _Optional[str] = ...) -> None: ...

class Acknowledge(_message.Message):
    __slots__ = ("command_id",)
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    def __init__(self, command_id: _Optional[str] = ...) -> None: ...

class Fence(_message.Message):
    __slots__ = ("epoch", "version")
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    epoch: int
    version: int
    def __init__(self, epoch: _Optional[int] = ..., version: _Optional[int] = ...) -> None: ...

class Command(_message.Message):
    __slots__ = ("id", "node", "journal_id", "app", "environment", "fence", "attempt", "expires_at", "deadline_seconds", "prepare_slot", "start_slot", "switch_slot", "confirm_slot", "stop_slot", "remove_slot", "run_task", "cleanup", "read_logs", "inspect")
    ID_FIELD_NUMBER: _ClassVar[int]
    NODE_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    ATTEMPT_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    PREPARE_SLOT_FIELD_NUMBER: _ClassVar[int]
    START_SLOT_FIELD_NUMBER: _ClassVar[int]
    SWITCH_SLOT_FIELD_NUMBER: _ClassVar[int]
    CONFIRM_SLOT_FIELD_NUMBER: _ClassVar[int]
    STOP_SLOT_FIELD_NUMBER: _ClassVar[int]
    REMOVE_SLOT_FIELD_NUMBER: _ClassVar[int]
    RUN_TASK_FIELD_NUMBER: _ClassVar[int]
    CLEANUP_FIELD_NUMBER: _ClassVar[int]
    READ_LOGS_FIELD_NUMBER: _ClassVar[int]
    INSPECT_FIELD_NUMBER: _ClassVar[int]
    id: str
    node: str
    journal_id: str
    app: str
    environment: str
    fence: Fence
    attempt: int
    expires_at: _timestamp_pb2.Timestamp
    deadline_seconds: float
    prepare_slot: PrepareSlot
    start_slot: StartSlot
    switch_slot: SwitchSlot
    confirm_slot: ConfirmSlot
    stop_slot: StopSlot
    remove_slot: RemoveSlot
    run_task: RunTask
    cleanup: Cleanup
    read_logs: ReadLogs
    inspect: Inspect
    def __init__(self, id: _Optional[str] = ..., node: _Optional[str] = ..., journal_id: _Optional[str] = ..., app: _Optional[str] = ..., environment: _Optional[str] = ..., fence: _Optional[_Union[Fence, _Mapping]] = ..., attempt: _Optional[int] = ..., expires_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., deadline_seconds: _Optional[float] = ..., prepare_slot: _Optional[_Union[PrepareSlot, _Mapping]] = ..., start_slot: _Optional[_Union[StartSlot, _Mapping]] = ..., switch_slot: _Optional[_Union[SwitchSlot, _Mapping]] = ..., confirm_slot: _Optional[_Union[ConfirmSlot, _Mapping]] = ..., stop_slot: _Optional[_Union[StopSlot, _Mapping]] = ..., remove_slot: _Optional[_Union[RemoveSlot, _Mapping]] = ..., run_task: _Optional[_Union[RunTask, _Mapping]] = ..., cleanup: _Optional[_Union[Cleanup, _Mapping]] = ..., read_logs: _Optional[_Union[ReadLogs, _Mapping]] = ..., inspect: _Optional[_Union[Inspect, _Mapping]] = ...) -> None: ...

class Revision(_message.Message):
    __slots__ = ("digest", "config")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    digest: str
    config: str
    def __init__(self, digest: _Optional[str] = ..., config: _Optional[str] = ...) -> None: ...

class Artifact(_message.Message):
    __slots__ = ("digest", "size_bytes", "url", "strip_components")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    STRIP_COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    digest: str
    size_bytes: int
    url: str
    strip_components: int
    def __init__(self, digest: _Optional[str] = ..., size_bytes: _Optional[int] = ..., url: _Optional[str] = ..., strip_components: _Optional[int] = ...) -> None: ...

class PrepareSlot(_message.Message):
    __slots__ = ("slot", "revision", "version", "artifact", "service", "hooks")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    HOOKS_FIELD_NUMBER: _ClassVar[int]
    slot: str
    revision: Revision
    version: str
    artifact: Artifact
    service: Service
    hooks: Hooks
    def __init__(self, slot: _Optional[str] = ..., revision: _Optional[_Union[Revision, _Mapping]] = ..., version: _Optional[str] = ..., artifact: _Optional[_Union[Artifact, _Mapping]] = ..., service: _Optional[_Union[Service, _Mapping]] = ..., hooks: _Optional[_Union[Hooks, _Mapping]] = ...) -> None: ...

class Hooks(_message.Message):
    __slots__ = ("install", "install_seconds", "migrate_seconds")
    INSTALL_FIELD_NUMBER: _ClassVar[int]
    INSTALL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    MIGRATE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    install: bool
    install_seconds: float
    migrate_seconds: float
    def __init__(self, install: _Optional[bool] = ..., install_seconds: _Optional[float] = ..., migrate_seconds: _Optional[float] = ...) -> None: ...

class StartSlot(_message.Message):
    __slots__ = ("slot", "revision", "version", "service", "health")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    slot: str
    revision: Revision
    version: str
    service: Service
    health: HealthCheck
    def __init__(self, slot: _Optional[str] = ..., revision: _Optional[_Union[Revision, _Mapping]] = ..., version: _Optional[str] = ..., service: _Optional[_Union[Service, _Mapping]] = ..., health: _Optional[_Union[HealthCheck, _Mapping]] = ...) -> None: ...

class Service(_message.Message):
    __slots__ = ("manager", "command", "environment", "port", "stop_grace_seconds", "user", "environment_file", "unit")
    class EnvironmentEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MANAGER_FIELD_NUMBER: _ClassVar[int]
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    STOP_GRACE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    USER_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FILE_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    manager: str
    command: _containers.RepeatedScalarFieldContainer[str]
    environment: _containers.ScalarMap[str, str]
    port: int
    stop_grace_seconds: float
    user: str
    environment_file: str
    unit: str
    def __init__(self, manager: _Optional[str] = ..., command: _Optional[_Iterable[str]] = ..., environment: _Optional[_Mapping[str, str]] = ..., port: _Optional[int] = ..., stop_grace_seconds: _Optional[float] = ..., user: _Optional[str] = ..., environment_file: _Optional[str] = ..., unit: _Optional[str] = ...) -> None: ...

class HealthCheck(_message.Message):
    __slots__ = ("every_seconds", "timeout_seconds", "failures", "healthy_after_seconds", "deadline_seconds", "start_grace_seconds", "http", "tcp", "exec", "grpc", "unit")
    EVERY_SECONDS_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_SECONDS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_AFTER_SECONDS_FIELD_NUMBER: _ClassVar[int]
    DEADLINE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    START_GRACE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    HTTP_FIELD_NUMBER: _ClassVar[int]
    TCP_FIELD_NUMBER: _ClassVar[int]
    EXEC_FIELD_NUMBER: _ClassVar[int]
    GRPC_FIELD_NUMBER: _ClassVar[int]
    UNIT_FIELD_NUMBER: _ClassVar[int]
    every_seconds: float
    timeout_seconds: float
    failures: int
    healthy_after_seconds: float
    deadline_seconds: float
    start_grace_seconds: float
    http: HttpCheck
    tcp: TcpCheck
    exec: ExecCheck
    grpc: GrpcCheck
    unit: UnitCheck
    def __init__(self, every_seconds: _Optional[float] = ..., timeout_seconds: _Optional[float] = ..., failures: _Optional[int] = ..., healthy_after_seconds: _Optional[float] = ..., deadline_seconds: _Optional[float] = ..., start_grace_seconds: _Optional[float] = ..., http: _Optional[_Union[HttpCheck, _Mapping]] = ..., tcp: _Optional[_Union[TcpCheck, _Mapping]] = ..., exec: _Optional[_Union[ExecCheck, _Mapping]] = ..., grpc: _Optional[_Union[GrpcCheck, _Mapping]] = ..., unit: _Optional[_Union[UnitCheck, _Mapping]] = ...) -> None: ...

class HttpCheck(_message.Message):
    __slots__ = ("url", "status", "body", "headers", "insecure", "ca_file")
    class HeadersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    URL_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    HEADERS_FIELD_NUMBER: _ClassVar[int]
    INSECURE_FIELD_NUMBER: _ClassVar[int]
    CA_FILE_FIELD_NUMBER: _ClassVar[int]
    url: str
    status: _containers.RepeatedScalarFieldContainer[str]
    body: str
    headers: _containers.ScalarMap[str, str]
    insecure: bool
    ca_file: str
    def __init__(self, url: _Optional[str] = ..., status: _Optional[_Iterable[str]] = ..., body: _Optional[str] = ..., headers: _Optional[_Mapping[str, str]] = ..., insecure: _Optional[bool] = ..., ca_file: _Optional[str] = ...) -> None: ...

class TcpCheck(_message.Message):
    __slots__ = ("address",)
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    address: str
    def __init__(self, address: _Optional[str] = ...) -> None: ...

class ExecCheck(_message.Message):
    __slots__ = ("command",)
    COMMAND_FIELD_NUMBER: _ClassVar[int]
    command: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, command: _Optional[_Iterable[str]] = ...) -> None: ...

class GrpcCheck(_message.Message):
    __slots__ = ("address", "service", "tls", "ca_file")
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    TLS_FIELD_NUMBER: _ClassVar[int]
    CA_FILE_FIELD_NUMBER: _ClassVar[int]
    address: str
    service: str
    tls: bool
    ca_file: str
    def __init__(self, address: _Optional[str] = ..., service: _Optional[str] = ..., tls: _Optional[bool] = ..., ca_file: _Optional[str] = ...) -> None: ...

class UnitCheck(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SwitchSlot(_message.Message):
    __slots__ = ("slot", "lease_seconds")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    LEASE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    slot: str
    lease_seconds: float
    def __init__(self, slot: _Optional[str] = ..., lease_seconds: _Optional[float] = ...) -> None: ...

class ConfirmSlot(_message.Message):
    __slots__ = ("switch_command_id",)
    SWITCH_COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    switch_command_id: str
    def __init__(self, switch_command_id: _Optional[str] = ...) -> None: ...

class StopSlot(_message.Message):
    __slots__ = ("slot", "grace_seconds")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    GRACE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    slot: str
    grace_seconds: float
    def __init__(self, slot: _Optional[str] = ..., grace_seconds: _Optional[float] = ...) -> None: ...

class RemoveSlot(_message.Message):
    __slots__ = ("slot",)
    SLOT_FIELD_NUMBER: _ClassVar[int]
    slot: str
    def __init__(self, slot: _Optional[str] = ...) -> None: ...

class RunTask(_message.Message):
    __slots__ = ("slot", "task", "revision", "version", "service", "hooks")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    HOOKS_FIELD_NUMBER: _ClassVar[int]
    slot: str
    task: str
    revision: Revision
    version: str
    service: Service
    hooks: Hooks
    def __init__(self, slot: _Optional[str] = ..., task: _Optional[str] = ..., revision: _Optional[_Union[Revision, _Mapping]] = ..., version: _Optional[str] = ..., service: _Optional[_Union[Service, _Mapping]] = ..., hooks: _Optional[_Union[Hooks, _Mapping]] = ...) -> None: ...

class Cleanup(_message.Message):
    __slots__ = ("keep_digests", "releases", "age_seconds", "backups", "backups_age_seconds")
    KEEP_DIGESTS_FIELD_NUMBER: _ClassVar[int]
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    BACKUPS_FIELD_NUMBER: _ClassVar[int]
    BACKUPS_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    keep_digests: _containers.RepeatedScalarFieldContainer[str]
    releases: int
    age_seconds: float
    backups: int
    backups_age_seconds: float
    def __init__(self, keep_digests: _Optional[_Iterable[str]] = ..., releases: _Optional[int] = ..., age_seconds: _Optional[float] = ..., backups: _Optional[int] = ..., backups_age_seconds: _Optional[float] = ...) -> None: ...

class ReadLogs(_message.Message):
    __slots__ = ("slot", "lines")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    slot: str
    lines: int
    def __init__(self, slot: _Optional[str] = ..., lines: _Optional[int] = ...) -> None: ...

class Inspect(_message.Message):
    __slots__ = ("slot", "artifact_bytes", "port", "digest", "probe", "service")
    SLOT_FIELD_NUMBER: _ClassVar[int]
    ARTIFACT_BYTES_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROBE_FIELD_NUMBER: _ClassVar[int]
    SERVICE_FIELD_NUMBER: _ClassVar[int]
    slot: str
    artifact_bytes: int
    port: int
    digest: str
    probe: bool
    service: Service
    def __init__(self, slot: _Optional[str] = ..., artifact_bytes: _Optional[int] = ..., port: _Optional[int] = ..., digest: _Optional[str] = ..., probe: _Optional[bool] = ..., service: _Optional[_Union[Service, _Mapping]] = ...) -> None: ...

class Report(_message.Message):
    __slots__ = ("hello", "accepted", "progress", "finished", "health", "heartbeat", "logs")
    HELLO_FIELD_NUMBER: _ClassVar[int]
    ACCEPTED_FIELD_NUMBER: _ClassVar[int]
    PROGRESS_FIELD_NUMBER: _ClassVar[int]
    FINISHED_FIELD_NUMBER: _ClassVar[int]
    HEALTH_FIELD_NUMBER: _ClassVar[int]
    HEARTBEAT_FIELD_NUMBER: _ClassVar[int]
    LOGS_FIELD_NUMBER: _ClassVar[int]
    hello: Hello
    accepted: Accepted
    progress: Progress
    finished: Finished
    health: Health
    heartbeat: Heartbeat
    logs: Logs
    def __init__(self, hello: _Optional[_Union[Hello, _Mapping]] = ..., accepted: _Optional[_Union[Accepted, _Mapping]] = ..., progress: _Optional[_Union[Progress, _Mapping]] = ..., finished: _Optional[_Union[Finished, _Mapping]] = ..., health: _Optional[_Union[Health, _Mapping]] = ..., heartbeat: _Optional[_Union[Heartbeat, _Mapping]] = ..., logs: _Optional[_Union[Logs, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("node", "journal_id", "agent_version", "labels", "address", "highest_epoch", "capabilities", "slots", "facts", "boot_id", "log_id", "fences")
    class LabelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class FactsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    NODE_FIELD_NUMBER: _ClassVar[int]
    JOURNAL_ID_FIELD_NUMBER: _ClassVar[int]
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    ADDRESS_FIELD_NUMBER: _ClassVar[int]
    HIGHEST_EPOCH_FIELD_NUMBER: _ClassVar[int]
    CAPABILITIES_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    FACTS_FIELD_NUMBER: _ClassVar[int]
    BOOT_ID_FIELD_NUMBER: _ClassVar[int]
    LOG_ID_FIELD_NUMBER: _ClassVar[int]
    FENCES_FIELD_NUMBER: _ClassVar[int]
    node: str
    journal_id: str
    agent_version: str
    labels: _containers.ScalarMap[str, str]
    address: str
    highest_epoch: int
    capabilities: _containers.RepeatedScalarFieldContainer[str]
    slots: _containers.RepeatedCompositeFieldContainer[SlotState]
    facts: _containers.ScalarMap[str, str]
    boot_id: str
    log_id: str
    fences: _containers.RepeatedCompositeFieldContainer[StreamFence]
    def __init__(self, node: _Optional[str] = ..., journal_id: _Optional[str] = ..., agent_version: _Optional[str] = ..., labels: _Optional[_Mapping[str, str]] = ..., address: _Optional[str] = ..., highest_epoch: _Optional[int] = ..., capabilities: _Optional[_Iterable[str]] = ..., slots: _Optional[_Iterable[_Union[SlotState, _Mapping]]] = ..., facts: _Optional[_Mapping[str, str]] = ..., boot_id: _Optional[str] = ..., log_id: _Optional[str] = ..., fences: _Optional[_Iterable[_Union[StreamFence, _Mapping]]] = ...) -> None: ...

class StreamFence(_message.Message):
    __slots__ = ("app", "environment", "fence")
    APP_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    FENCE_FIELD_NUMBER: _ClassVar[int]
    app: str
    environment: str
    fence: Fence
    def __init__(self, app: _Optional[str] = ..., environment: _Optional[str] = ..., fence: _Optional[_Union[Fence, _Mapping]] = ...) -> None: ...

class SlotState(_message.Message):
    __slots__ = ("app", "environment", "slot", "revision", "version", "running", "healthy", "port", "current", "detail")
    APP_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    REVISION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    RUNNING_FIELD_NUMBER: _ClassVar[int]
    HEALTHY_FIELD_NUMBER: _ClassVar[int]
    PORT_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    app: str
    environment: str
    slot: str
    revision: Revision
    version: str
    running: Tri
    healthy: Tri
    port: int
    current: bool
    detail: str
    def __init__(self, app: _Optional[str] = ..., environment: _Optional[str] = ..., slot: _Optional[str] = ..., revision: _Optional[_Union[Revision, _Mapping]] = ..., version: _Optional[str] = ..., running: _Optional[_Union[Tri, str]] = ..., healthy: _Optional[_Union[Tri, str]] = ..., port: _Optional[int] = ..., current: _Optional[bool] = ..., detail: _Optional[str] = ...) -> None: ...

class Accepted(_message.Message):
    __slots__ = ("command_id",)
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    def __init__(self, command_id: _Optional[str] = ...) -> None: ...

class Progress(_message.Message):
    __slots__ = ("command_id", "text", "done_bytes", "total_bytes")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    DONE_BYTES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    text: str
    done_bytes: int
    total_bytes: int
    def __init__(self, command_id: _Optional[str] = ..., text: _Optional[str] = ..., done_bytes: _Optional[int] = ..., total_bytes: _Optional[int] = ...) -> None: ...

class Finished(_message.Message):
    __slots__ = ("command_id", "outcome", "error", "output_tail", "slot", "blame", "cleaned")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_TAIL_FIELD_NUMBER: _ClassVar[int]
    SLOT_FIELD_NUMBER: _ClassVar[int]
    BLAME_FIELD_NUMBER: _ClassVar[int]
    CLEANED_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    outcome: Outcome
    error: str
    output_tail: str
    slot: SlotState
    blame: Blame
    cleaned: CleanedUp
    def __init__(self, command_id: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., error: _Optional[str] = ..., output_tail: _Optional[str] = ..., slot: _Optional[_Union[SlotState, _Mapping]] = ..., blame: _Optional[_Union[Blame, str]] = ..., cleaned: _Optional[_Union[CleanedUp, _Mapping]] = ...) -> None: ...

class CleanedUp(_message.Message):
    __slots__ = ("removed", "removed_count", "removed_bytes", "made", "stayed")
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    REMOVED_COUNT_FIELD_NUMBER: _ClassVar[int]
    REMOVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    MADE_FIELD_NUMBER: _ClassVar[int]
    STAYED_FIELD_NUMBER: _ClassVar[int]
    removed: _containers.RepeatedCompositeFieldContainer[Thing]
    removed_count: int
    removed_bytes: int
    made: _containers.RepeatedCompositeFieldContainer[Thing]
    stayed: _containers.RepeatedCompositeFieldContainer[Stayed]
    def __init__(self, removed: _Optional[_Iterable[_Union[Thing, _Mapping]]] = ..., removed_count: _Optional[int] = ..., removed_bytes: _Optional[int] = ..., made: _Optional[_Iterable[_Union[Thing, _Mapping]]] = ..., stayed: _Optional[_Iterable[_Union[Stayed, _Mapping]]] = ...) -> None: ...

class Thing(_message.Message):
    __slots__ = ("kind", "name", "bytes")
    KIND_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    name: str
    bytes: int
    def __init__(self, kind: _Optional[str] = ..., name: _Optional[str] = ..., bytes: _Optional[int] = ...) -> None: ...

class Stayed(_message.Message):
    __slots__ = ("kind", "why", "count", "bytes")
    KIND_FIELD_NUMBER: _ClassVar[int]
    WHY_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    kind: str
    why: str
    count: int
    bytes: int
    def __init__(self, kind: _Optional[str] = ..., why: _Optional[str] = ..., count: _Optional[int] = ..., bytes: _Optional[int] = ...) -> None: ...

class Health(_message.Message):
    __slots__ = ("slot",)
    SLOT_FIELD_NUMBER: _ClassVar[int]
    slot: SlotState
    def __init__(self, slot: _Optional[_Union[SlotState, _Mapping]] = ...) -> None: ...

class Heartbeat(_message.Message):
    __slots__ = ("cpu_percent", "memory_used_bytes", "memory_total_bytes", "disk_free_bytes", "load_1m", "uptime_seconds")
    CPU_PERCENT_FIELD_NUMBER: _ClassVar[int]
    MEMORY_USED_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_TOTAL_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_FREE_BYTES_FIELD_NUMBER: _ClassVar[int]
    LOAD_1M_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    cpu_percent: float
    memory_used_bytes: int
    memory_total_bytes: int
    disk_free_bytes: int
    load_1m: float
    uptime_seconds: float
    def __init__(self, cpu_percent: _Optional[float] = ..., memory_used_bytes: _Optional[int] = ..., memory_total_bytes: _Optional[int] = ..., disk_free_bytes: _Optional[int] = ..., load_1m: _Optional[float] = ..., uptime_seconds: _Optional[float] = ...) -> None: ...

class Logs(_message.Message):
    __slots__ = ("command_id", "data")
    COMMAND_ID_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    command_id: str
    data: bytes
    def __init__(self, command_id: _Optional[str] = ..., data: _Optional[bytes] = ...) -> None: ...
