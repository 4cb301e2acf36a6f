from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Document(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: bytes
    def __init__(self, json: _Optional[bytes] = ...) -> None: ...

class ArtifactRef(_message.Message):
    __slots__ = ("digest",)
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    digest: str
    def __init__(self, digest: _Optional[str] = ...) -> None: ...

class ArtifactReply(_message.Message):
    __slots__ = ("digest", "present", "size_bytes")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    digest: str
    present: bool
    size_bytes: int
    def __init__(self, digest: _Optional[str] = ..., present: _Optional[bool] = ..., size_bytes: _Optional[int] = ...) -> None: ...

class ArtifactLabel(_message.Message):
    __slots__ = ("name", "app", "version", "added_by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ADDED_BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    app: str
    version: str
    added_by: str
    def __init__(self, name: _Optional[str] = ..., app: _Optional[str] = ..., version: _Optional[str] = ..., added_by: _Optional[str] = ...) -> None: ...

class UploadChunk(_message.Message):
    __slots__ = ("digest", "size_bytes", "data", "label")
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    digest: str
    size_bytes: int
    data: bytes
    label: ArtifactLabel
    def __init__(self, digest: _Optional[str] = ..., size_bytes: _Optional[int] = ..., data: _Optional[bytes] = ..., label: _Optional[_Union[ArtifactLabel, _Mapping]] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("url", "digest", "label")
    URL_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    LABEL_FIELD_NUMBER: _ClassVar[int]
    url: str
    digest: str
    label: ArtifactLabel
    def __init__(self, url: _Optional[str] = ..., digest: _Optional[str] = ..., label: _Optional[_Union[ArtifactLabel, _Mapping]] = ...) -> None: ...

class DeployRequest(_message.Message):
    __slots__ = ("request_id", "version", "digest", "spec", "requested_by", "again", "plan_id", "url", "size_bytes", "message", "commit", "supersede", "queue", "override_freeze")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    SPEC_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    AGAIN_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    COMMIT_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDE_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    OVERRIDE_FREEZE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    version: str
    digest: str
    spec: bytes
    requested_by: str
    again: bool
    plan_id: str
    url: str
    size_bytes: int
    message: str
    commit: str
    supersede: bool
    queue: bool
    override_freeze: bool
    def __init__(self, request_id: _Optional[str] = ..., version: _Optional[str] = ..., digest: _Optional[str] = ..., spec: _Optional[bytes] = ..., requested_by: _Optional[str] = ..., again: _Optional[bool] = ..., plan_id: _Optional[str] = ..., url: _Optional[str] = ..., size_bytes: _Optional[int] = ..., message: _Optional[str] = ..., commit: _Optional[str] = ..., supersede: _Optional[bool] = ..., queue: _Optional[bool] = ..., override_freeze: _Optional[bool] = ...) -> None: ...

class RollbackRequest(_message.Message):
    __slots__ = ("request_id", "app", "environment", "requested_by", "without_absent", "plan_id", "message", "to")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_ABSENT_FIELD_NUMBER: _ClassVar[int]
    PLAN_ID_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    TO_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    app: str
    environment: str
    requested_by: str
    without_absent: bool
    plan_id: str
    message: str
    to: str
    def __init__(self, request_id: _Optional[str] = ..., app: _Optional[str] = ..., environment: _Optional[str] = ..., requested_by: _Optional[str] = ..., without_absent: _Optional[bool] = ..., plan_id: _Optional[str] = ..., message: _Optional[str] = ..., to: _Optional[str] = ...) -> None: ...

class PlanRequest(_message.Message):
    __slots__ = ("deploy", "rollback")
    DEPLOY_FIELD_NUMBER: _ClassVar[int]
    ROLLBACK_FIELD_NUMBER: _ClassVar[int]
    deploy: DeployRequest
    rollback: RollbackRequest
    def __init__(self, deploy: _Optional[_Union[DeployRequest, _Mapping]] = ..., rollback: _Optional[_Union[RollbackRequest, _Mapping]] = ...) -> None: ...

class AnswerRequest(_message.Message):
    __slots__ = ("request_id", "rollout", "answer", "answered_by", "question", "comment", "step")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    ANSWER_FIELD_NUMBER: _ClassVar[int]
    ANSWERED_BY_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    COMMENT_FIELD_NUMBER: _ClassVar[int]
    STEP_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    rollout: str
    answer: str
    answered_by: str
    question: int
    comment: str
    step: str
    def __init__(self, request_id: _Optional[str] = ..., rollout: _Optional[str] = ..., answer: _Optional[str] = ..., answered_by: _Optional[str] = ..., question: _Optional[int] = ..., comment: _Optional[str] = ..., step: _Optional[str] = ...) -> None: ...

class ControlRequest(_message.Message):
    __slots__ = ("request_id", "rollout", "requested_by", "reason", "no_rollback", "question")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    NO_ROLLBACK_FIELD_NUMBER: _ClassVar[int]
    QUESTION_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    rollout: str
    requested_by: str
    reason: str
    no_rollback: bool
    question: int
    def __init__(self, request_id: _Optional[str] = ..., rollout: _Optional[str] = ..., requested_by: _Optional[str] = ..., reason: _Optional[str] = ..., no_rollback: _Optional[bool] = ..., question: _Optional[int] = ...) -> None: ...

class QuarantineRequest(_message.Message):
    __slots__ = ("request_id", "app", "environment", "release", "requested_by", "reason", "lift")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    LIFT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    app: str
    environment: str
    release: str
    requested_by: str
    reason: str
    lift: bool
    def __init__(self, request_id: _Optional[str] = ..., app: _Optional[str] = ..., environment: _Optional[str] = ..., release: _Optional[str] = ..., requested_by: _Optional[str] = ..., reason: _Optional[str] = ..., lift: _Optional[bool] = ...) -> None: ...

class LockRequest(_message.Message):
    __slots__ = ("request_id", "app", "environment", "requested_by", "reason", "unlock", "force")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    UNLOCK_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    app: str
    environment: str
    requested_by: str
    reason: str
    unlock: bool
    force: bool
    def __init__(self, request_id: _Optional[str] = ..., app: _Optional[str] = ..., environment: _Optional[str] = ..., requested_by: _Optional[str] = ..., reason: _Optional[str] = ..., unlock: _Optional[bool] = ..., force: _Optional[bool] = ...) -> None: ...

class FreezeRequest(_message.Message):
    __slots__ = ("request_id", "app", "environment", "requested_by", "reason", "seconds", "unix_until", "lift")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    UNIX_UNTIL_FIELD_NUMBER: _ClassVar[int]
    LIFT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    app: str
    environment: str
    requested_by: str
    reason: str
    seconds: float
    unix_until: float
    lift: bool
    def __init__(self, request_id: _Optional[str] = ..., app: _Optional[str] = ..., environment: _Optional[str] = ..., requested_by: _Optional[str] = ..., reason: _Optional[str] = ..., seconds: _Optional[float] = ..., unix_until: _Optional[float] = ..., lift: _Optional[bool] = ...) -> None: ...

class CleanUpRequest(_message.Message):
    __slots__ = ("request_id", "app", "environment", "requested_by")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    app: str
    environment: str
    requested_by: str
    def __init__(self, request_id: _Optional[str] = ..., app: _Optional[str] = ..., environment: _Optional[str] = ..., requested_by: _Optional[str] = ...) -> None: ...

class GetReconcileRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReconcileRequest(_message.Message):
    __slots__ = ("request_id", "app", "environment", "decision", "requested_by", "message", "without_absent")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    APP_FIELD_NUMBER: _ClassVar[int]
    ENVIRONMENT_FIELD_NUMBER: _ClassVar[int]
    DECISION_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_ABSENT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    app: str
    environment: str
    decision: str
    requested_by: str
    message: str
    without_absent: bool
    def __init__(self, request_id: _Optional[str] = ..., app: _Optional[str] = ..., environment: _Optional[str] = ..., decision: _Optional[str] = ..., requested_by: _Optional[str] = ..., message: _Optional[str] = ..., without_absent: _Optional[bool] = ...) -> None: ...

class ReplayRequest(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    def __init__(self, rollout: _Optional[str] = ...) -> None: ...

class CleanUpReply(_message.Message):
    __slots__ = ("message", "stream", "seq", "open", "waiting", "away")
    class OpenEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    AWAY_FIELD_NUMBER: _ClassVar[int]
    message: str
    stream: str
    seq: int
    open: _containers.ScalarMap[str, str]
    waiting: _containers.RepeatedScalarFieldContainer[str]
    away: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, message: _Optional[str] = ..., stream: _Optional[str] = ..., seq: _Optional[int] = ..., open: _Optional[_Mapping[str, str]] = ..., waiting: _Optional[_Iterable[str]] = ..., away: _Optional[_Iterable[str]] = ...) -> None: ...

class RemoveNodeRequest(_message.Message):
    __slots__ = ("node", "requested_by")
    NODE_FIELD_NUMBER: _ClassVar[int]
    REQUESTED_BY_FIELD_NUMBER: _ClassVar[int]
    node: str
    requested_by: str
    def __init__(self, node: _Optional[str] = ..., requested_by: _Optional[str] = ...) -> None: ...

class Done(_message.Message):
    __slots__ = ("message",)
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    message: str
    def __init__(self, message: _Optional[str] = ...) -> None: ...

class FollowRequest(_message.Message):
    __slots__ = ("rollout", "after_seq")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    after_seq: int
    def __init__(self, rollout: _Optional[str] = ..., after_seq: _Optional[int] = ...) -> None: ...

class RolloutReply(_message.Message):
    __slots__ = ("rollout", "stream", "seq", "message", "queued")
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    STREAM_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    QUEUED_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    stream: str
    seq: int
    message: str
    queued: bool
    def __init__(self, rollout: _Optional[str] = ..., stream: _Optional[str] = ..., seq: _Optional[int] = ..., message: _Optional[str] = ..., queued: _Optional[bool] = ...) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ("app", "balancers")
    APP_FIELD_NUMBER: _ClassVar[int]
    BALANCERS_FIELD_NUMBER: _ClassVar[int]
    app: str
    balancers: bool
    def __init__(self, app: _Optional[str] = ..., balancers: _Optional[bool] = ...) -> None: ...

class ListRolloutsRequest(_message.Message):
    __slots__ = ("app", "limit")
    APP_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    app: str
    limit: int
    def __init__(self, app: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class ShowRolloutRequest(_message.Message):
    __slots__ = ("rollout",)
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    rollout: str
    def __init__(self, rollout: _Optional[str] = ...) -> None: ...

class ListNodesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListReleasesRequest(_message.Message):
    __slots__ = ("app",)
    APP_FIELD_NUMBER: _ClassVar[int]
    app: str
    def __init__(self, app: _Optional[str] = ...) -> None: ...

class ShowNodeRequest(_message.Message):
    __slots__ = ("node",)
    NODE_FIELD_NUMBER: _ClassVar[int]
    node: str
    def __init__(self, node: _Optional[str] = ...) -> None: ...

class ControllerRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ReadLogRequest(_message.Message):
    __slots__ = ("after_seq", "rollout", "follow")
    AFTER_SEQ_FIELD_NUMBER: _ClassVar[int]
    ROLLOUT_FIELD_NUMBER: _ClassVar[int]
    FOLLOW_FIELD_NUMBER: _ClassVar[int]
    after_seq: int
    rollout: str
    follow: bool
    def __init__(self, after_seq: _Optional[int] = ..., rollout: _Optional[str] = ..., follow: _Optional[bool] = ...) -> None: ...
