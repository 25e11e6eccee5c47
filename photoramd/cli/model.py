"""``photoramd model``: list, describe and verify models."""

from __future__ import annotations

from typing import Any

import click

from photoramd import checkpoint
from photoramd.cli.output import print_json
from photoramd.errors import ModelError, printable


@click.group("model")
def command() -> None:
    """List, describe and verify models."""


_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_name = click.argument("name", default=checkpoint.EMBEDDED.name)


@command.command("list")
@_json
def list_models(as_json: bool) -> None:
    """List the models, and whether their weights are there."""
    models = [_describe(model) for model in checkpoint.MODELS.values()]
    if as_json:
        print_json(models)
        return
    for model in models:
        state = "installed" if model["path"] else "not installed"
        click.echo(f"{model['name']:<12} {state:<14} {model['description']}")


@command.command()
@_name
@_json
def info(name: str, as_json: bool) -> None:
    """Describe a model: where its weights come from, and their pinned digest."""
    model = _describe(checkpoint.known_model(name))
    if as_json:
        print_json(model)
        return
    for key, value in model.items():
        click.echo(f"{key + ':':<13} {'not installed' if value is None else value}")


@command.command()
@_name
@_json
def verify(name: str, as_json: bool) -> None:
    """Check every byte of a model's weights. Exits with 3 if they are not the pinned ones."""
    model = checkpoint.known_model(name)
    path = checkpoint.verify(model.weights)
    if as_json:
        print_json({"name": name, "path": printable(path), "sha256": model.weights.sha256})
    else:
        click.echo(f"{name}: good ({printable(path)}, SHA-256 {model.weights.sha256})")


def _describe(model: checkpoint.Model) -> dict[str, Any]:
    try:
        path = printable(checkpoint.locate(model.weights))
    except ModelError:
        path = None
    return {
        "name": model.name,
        "description": model.description,
        "license": model.license,
        "file": model.weights.name,
        "size_bytes": model.weights.size_bytes,
        "sha256": model.weights.sha256,
        "source": model.weights.source,
        "path": path,
    }
