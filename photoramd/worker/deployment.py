"""The replicas: Ray Serve starts them, looks after them, and shares out what is asked."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from photoramd.clock import Monotonic, monotonic
from photoramd.errors import ModelError
from photoramd.models.features import Vectors
from photoramd.models.tagger import Scores
from photoramd.worker.replica import Options, Refusal, Replica
from photoramd.worker.scorer import FailedError, LostError, Stack, UnavailableError

log = logging.getLogger(__name__)

CALLS = 2
"""So many calls are taken for each replica: one runs, and what the next needs is there already."""

_NAME = "photoramd"

_HEALTH_PERIOD_SECONDS = 2.0
_HEALTH_TIMEOUT_SECONDS = 4.0
"""After three of these a replica that does not answer is ended."""

_LOOK_SECONDS = 1.0

_GONE_SECONDS = 6.0
"""How long a call waits without any replica, so that one that was lost is known as such."""


class Deployment:
    """The replicas, as a `photoramd.worker.scorer.Scorer`.

    Args:
        handle: Serve's handle of the method `Replica.scores`.
        clock: The present time.
    """

    def __init__(self, handle: Any, clock: Callable[[], Monotonic] = monotonic) -> None:
        self._handle = handle
        self._clock = clock
        self._ready = 0
        self._running = 0
        self._freed = asyncio.Condition()
        self._trouble = ""
        self._messages: list[str] = []
        self._seen_at = self._hangs_since = clock()
        self._closed = threading.Event()
        self._observer = threading.Thread(target=self._observe, name="replicas", daemon=True)

    @property
    def at_once(self) -> int:
        """How many calls all replicas that are ready work on at a time."""
        return CALLS * self._ready

    @property
    def ready(self) -> int:
        """How many replicas are ready."""
        return self._ready

    def silent_seconds(self) -> float:
        """Return for how long Serve has told nothing."""
        return self._clock() - self._seen_at

    def hanging_seconds(self) -> float:
        """Return for how long no replica has been ready, nor another start of one has failed.

        Serve waits for a replica that starts without limit; one that fails it starts again.
        """
        return self._clock() - self._hangs_since

    async def scores(self, pictures: Stack) -> tuple[Scores, Vectors | None]:
        """Return the scores of pictures, and their features if the model gives any.

        Raises:
            FailedError: The model refused them.
            LostError: Its process was lost with them.
            UnavailableError: There is none.
        """
        import ray

        # Before its turn: copying takes longer than all else that lies between two calls.
        with _nothing_asked():
            reference = await asyncio.to_thread(ray.put, pictures)
        async with self._freed:
            await self._freed.wait_for(lambda: self._running < self._ready or not self._ready)
            if not self._ready:
                raise UnavailableError
            self._running += 1
        try:
            return await self._call(reference, len(pictures))
        finally:
            async with self._freed:
                self._running -= 1
                self._freed.notify_all()

    async def _call(self, reference: Any, count: int) -> tuple[Scores, Vectors | None]:
        """Run a call. None waits in a replica, where it would be lost for what another did."""
        from ray.exceptions import RayError, RayTaskError
        from ray.serve.exceptions import RayServeException

        with _nothing_asked():
            response = self._handle.remote(reference)
        call = asyncio.ensure_future(_result(response))
        gone = asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait((call, gone), return_when=asyncio.FIRST_COMPLETED)
            if not call.done():
                raise UnavailableError
            outcome = call.result()
        except RayTaskError as error:
            # The process lives, and could not even begin with them.
            raise FailedError(_line(error)) from error
        except RayServeException as error:
            raise UnavailableError from error
        except RayError as error:
            log.warning("a replica was lost with %d pictures: %s", count, _line(error))
            raise LostError from error
        finally:
            gone.cancel()
            if not call.done():
                response.cancel()
                # What it then says is of no interest, but must be looked at.
                call.add_done_callback(lambda done: done.cancelled() or done.exception())
        if not isinstance(outcome, Refusal):
            scores, features = outcome
            return scores, features
        match outcome.blames:
            case "pictures":
                raise FailedError(outcome.reason)
            case "process":
                log.warning("a replica is to be started again: %s", outcome.reason)
                raise LostError
            case _:
                raise UnavailableError

    async def _gone(self) -> None:
        """Return when there has been no replica for some time."""
        since = None
        while since is None or self._clock() - since < _GONE_SECONDS:
            await asyncio.sleep(_LOOK_SECONDS / 4)
            if self._ready:
                since = None
            elif since is None:
                since = self._clock()

    def _observe(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            with suppress(Exception):  # while the controller starts again; see silent_seconds
                self._look()

    def _look(self) -> None:
        from ray import serve
        from ray.serve._private.common import ReplicaState

        application = serve.status().applications.get(_NAME)
        deployments = application.deployments.values() if application else ()
        ready = sum(each.replica_states.get(ReplicaState.RUNNING, 0) for each in deployments)
        messages = [each.message for each in deployments]
        trouble = "" if ready else "; ".join(map(_line, messages))
        self._seen_at = self._clock()
        # With each start that has failed the message has another number of them.
        if ready or messages != self._messages:
            self._hangs_since = self._seen_at
        if bool(ready) != bool(self._ready):
            log.info("replicas that are ready: %d", ready)
        if trouble and trouble != self._trouble:
            log.warning("no replica is ready: %s", trouble)
        self._ready, self._trouble, self._messages = ready, trouble, messages


@contextmanager
def _nothing_asked() -> Iterator[None]:
    """Say of Ray's errors, for a ``with`` block, that no replica has seen the pictures yet."""
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    try:
        yield
    except (RayError, RayServeException) as error:
        log.warning("Ray takes no pictures: %s", _line(error))
        raise UnavailableError from error


async def _result(response: Any) -> Any:
    return await response


def _line(message: object) -> str:
    """Return the line of a traceback that says what happened."""
    lines = [line.strip() for line in str(message).strip().splitlines() if line.strip()]
    return lines[-1] if lines else ""


@contextmanager
def deployed(options: Options, replicas: int, *, has_gpu: bool) -> Iterator[Deployment]:
    """Load the model in each replica, for a ``with`` block.

    Args:
        options: What they load.
        replicas: How many there are.
        has_gpu: Whether each takes a GPU.

    Raises:
        ModelError: They cannot be loaded.
    """
    from ray import serve
    from ray.serve.config import ProxyLocation
    from ray.serve.schema import LoggingConfig

    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    # Serve's own server would read whole bodies before the token, and be one more open port.
    serve.start(proxy_location=ProxyLocation.Disabled)
    deployment = serve.deployment(
        name=_NAME,
        num_replicas=replicas,
        max_ongoing_requests=1,
        health_check_period_s=_HEALTH_PERIOD_SECONDS,
        health_check_timeout_s=_HEALTH_TIMEOUT_SECONDS,
        graceful_shutdown_timeout_s=1.0,
        ray_actor_options={"num_cpus": 0, "num_gpus": int(has_gpu)},
        logging_config=LoggingConfig(enable_access_log=False, log_level="WARNING"),
    )(Replica)
    try:
        handle = serve.run(deployment.bind(options), name=_NAME, route_prefix=None)
    except RuntimeError as error:
        raise ModelError(f"the model could not be loaded by a replica: {_line(error)}") from error
    found = Deployment(handle.options(method_name="scores"))
    found._look()
    found._observer.start()
    try:
        yield found
    finally:
        found._closed.set()
        found._observer.join(_LOOK_SECONDS)
