"""The sections ``[cluster]`` and ``[worker]``: their keys, and what they must be."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from photoramd.config.addresses import address_of, split_host
from photoramd.config.section import Section, Text
from photoramd.errors import ModelError, printable
from photoramd.models import registry

_FILE = {"allowed": "an absolute path, or one below ~"}


class Cluster(Section, frozen=True, kw_only=True):
    """Other machines on which the model runs: those that `photoramd worker run` was started on."""

    workers: Annotated[
        tuple[Text, ...],
        Meta(
            description="Their addresses. The model then runs there, and the photos stay here: "
            "what is sent are small pictures. Empty: it runs here.",
            extra={"allowed": 'a list of addresses such as "https://desktop.lan:8443"'},
        ),
    ] = ()
    token_file: Annotated[
        str,
        Meta(
            description="A file with the token that the workers ask for: a copy of that on the "
            "worker, made by `photoramd worker token FILE`.",
            extra=_FILE,
        ),
    ] = ""
    ca_file: Annotated[
        str,
        Meta(
            description="The certificate of the authority that signed the workers' certificates, "
            "such as ca.pem of `photoramd worker certificate`. Empty: those that this machine "
            "trusts anyway.",
            extra=_FILE,
        ),
    ] = ""
    fallback: Annotated[
        Literal["wait", "local"],
        Meta(
            description="What happens while no worker can be reached: photos wait, or the model "
            "runs here. For ram++ that needs torch and the weights here, and the same device."
        ),
    ] = "wait"


class Worker(Section, frozen=True, kw_only=True):
    """What `photoramd worker run` does; the model is that of [model]. Only for workers."""

    listen: Annotated[
        str,
        Meta(
            description="Where it waits for daemons. Other machines need a certificate for that.",
            extra={"allowed": 'an address and a port, such as "[::]:8443"'},
        ),
    ] = "127.0.0.1:8443"
    token_file: Annotated[
        str,
        Meta(
            description="A file with the token that daemons must show; `photoramd worker token "
            "FILE` makes one.",
            extra=_FILE,
        ),
    ] = ""
    certificate_file: Annotated[
        str,
        Meta(
            description="The worker's certificate, as PEM; `photoramd worker certificate` makes "
            "one. Empty: plain HTTP, for this machine alone.",
            extra=_FILE,
        ),
    ] = ""
    key_file: Annotated[
        str, Meta(description="The private key of the certificate, as PEM.", extra=_FILE)
    ] = ""
    replicas: Annotated[
        int,
        Meta(
            ge=0,
            le=64,
            description="How many times the model is loaded; 0: once for each GPU, or once.",
        ),
    ] = 0


PATHS = {
    "cluster": ("token_file", "ca_file"),
    "worker": ("token_file", "certificate_file", "key_file"),
}
"""The keys that are paths of files, which the loader makes absolute."""


def problems(cluster: Cluster, worker: Worker) -> Iterator[str]:
    """Yield what is wrong with the form of the values."""
    for number, url in enumerate(cluster.workers):
        if (reason := _wrong_with(url)) is not None:
            yield f"cluster.workers: {printable(url)} is not allowed: {reason}"
        elif url.rstrip("/") in [each.rstrip("/") for each in cluster.workers[:number]]:
            yield f"cluster.workers: {printable(url)} is there twice; remove one"
    if cluster.workers and not cluster.token_file:
        yield "cluster.token_file: missing; allowed: the file with the workers' token"
    try:
        where = address_of(worker.listen)
        if not isinstance(where, tuple):
            yield "worker.listen: allowed: an address and a port, such as [::]:8443"
    except ValueError as error:
        yield f"worker.listen: {error}"
    if bool(worker.certificate_file) != bool(worker.key_file):
        yield "worker.certificate_file: it goes with worker.key_file; give both, or none"


def model_problems(cluster: Cluster, model: str, precision: str, device: str) -> Iterator[str]:
    """Yield why a model cannot run on the workers, if there are any and it cannot."""
    if cluster.workers:
        try:
            registry.require_remote(model, precision=precision, device=device)
        except ModelError as error:
            yield f"cluster.workers: {error}; {error.remedy}"


def warnings(cluster: Cluster, idle_unload_minutes: float) -> Iterator[str]:
    """Yield what is not an error, but may keep the workers from being used."""
    if not cluster.workers:
        return
    for key in PATHS["cluster"]:
        path = getattr(cluster, key)
        if path and not os.access(path, os.R_OK):
            yield f"cluster.{key}: {printable(path)} is not there, or not readable for this user"
    if idle_unload_minutes:
        yield "model.idle_unload_minutes: has no effect with cluster.workers"


def _wrong_with(url: str) -> str | None:
    """Return what is wrong with the address of a worker."""
    scheme, _, rest = url.partition("://")
    host = split_host(rest.removesuffix("/"))
    if scheme not in ("https", "http") or host is None:
        return (
            "allowed: https://, a name or an address, and a port, such as https://desktop.lan:8443"
        )
    if scheme == "http" and not is_loopback(host[0]):
        return "http:// is for this machine alone (127.0.0.1): the token could be read on the way"
    return None


def is_loopback(host: str) -> bool:
    """Return whether an address is this machine's alone; a name never counts, it could change."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
