"""The commands: what each takes, and nothing else; what they do is in the modules beside this one."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from vessel_core import diagnosis
from vessel_core.cli import chatting, doctoring, models_shown, serving, working
from vessel_core.cli.reaching import reach
from vessel_core.cli.terminal import Terminal, complain
from vessel_core.client import Client
from vessel_core.errors import InvalidConfig, VesselError
from vessel_core.local import Options
from vessel_core.settings import TargetOptions

app: typer.Typer = typer.Typer(
    help="Local LLM servers: llama.cpp, LM Studio, Ollama and any OpenAI-compatible one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Backend = Annotated[str, typer.Option("--backend", "-b", help="auto, llamacpp, lmstudio, ollama, openai, vllm, …")]
Url = Annotated[str | None, typer.Option("--url", "-u", help="The server's address; found by itself without one.")]
Urls = Annotated[
    list[str] | None, typer.Option("--url", "-u", help="The server's address; again for each of several hosts.")
]
Model = Annotated[str | None, typer.Option("--model", "-m", help="The model; the loaded one without a name.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Key = Annotated[str | None, typer.Option("--key", envvar="VESSEL_API_KEY", show_envvar=True, help="The server's key.")]


Name = Annotated[str, typer.Argument(metavar="NAME", help="What the server calls the model; see vessel models.")]
Column = Annotated[str, typer.Option(help="The column that holds the text.")]
Id = Annotated[str, typer.Option("--id", help="The column that is copied as the row's id.")]
Keep = Annotated[list[str] | None, typer.Option(help="A further column to copy.")]
Concurrency = Annotated[
    int | None, typer.Option(min=1, help="Requests at once; by default what the hosts' slots allow, or 4.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Begin anew, not where an earlier run ended.")]
RetryErrors = Annotated[bool, typer.Option("--retry-errors", help="Try the rows again that ended in an error.")]


def _client(backend: str, url: str | list[str] | None, model: str | None, key: str | None) -> Client:
    several = isinstance(url, list) and len(url) > 1
    one = url[0] if isinstance(url, list) and len(url) == 1 else url
    options: TargetOptions = {"base_url": url if several else one or None, "model": model, "api_key": key}
    return Client(backend, **options)


@contextmanager
def _reached(backend: str, url: str | None, key: str | None) -> Generator[Client]:
    with _client(backend, url, None, key) as client:
        with Terminal(stderr=True).status("looking …"):
            reach(client)
        yield client


def _fail(error: VesselError) -> NoReturn:
    """Say what went wrong and what to do, in red, without a traceback."""
    complain(error)
    raise typer.Exit(1)


@app.command()
def doctor(
    backend: Backend = "auto",
    url: Url = None,
    model: Model = None,
    key: Key = None,
    as_json: Json = False,
    check: Annotated[bool, typer.Option(help="Try what each server can do.")] = True,
) -> None:
    """Say which servers there are and what each really can do. Holds no secret; made to be pasted into an issue."""
    try:
        with Terminal(stderr=True).status("looking …") as status:
            watch = doctoring.progress(status)
            report = diagnosis.doctor(backend, check=check, watch=watch, base_url=url, model=model, api_key=key)
    except VesselError as error:
        _fail(error)
    if as_json:
        sys.stdout.write(report.to_json() + "\n")
    else:
        doctoring.show(report, Terminal())
    raise typer.Exit(0 if report.well else 1)


@app.command()
def models(backend: Backend = "auto", url: Url = None, key: Key = None, as_json: Json = False) -> None:
    """List the models of a server, or of every server found."""
    try:
        models_shown.show(backend, {"base_url": url, "api_key": key}, Terminal(), as_json=as_json)
    except VesselError as error:
        _fail(error)


@app.command()
def chat(
    prompt: Annotated[str | None, typer.Argument(help="One question; a conversation without it.")] = None,
    backend: Backend = "auto",
    url: Url = None,
    model: Model = None,
    key: Key = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="A system message.")] = None,
    image: Annotated[list[Path] | None, typer.Option("--image", "-i", help="A picture to ask about.")] = None,
    file: Annotated[
        list[Path] | None, typer.Option("--file", "-f", help="A text file to put before the question.")
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-o", help="temperature=0, max_tokens=200, num_ctx=16384, …")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Print what comes, control characters too.")] = False,
) -> None:
    """Talk with a model. Ctrl-C stops the answer, and the server with it."""
    try:
        options = chatting.parse_options(option or ())
        with _client(backend, url, model, key) as client:
            chatting.talk(client, prompt, system=system, images=image or (), files=file or (), options=options, raw=raw)
    except VesselError as error:
        _fail(error)


@app.command()
def embed(
    texts: Annotated[list[str] | None, typer.Argument(help="The texts; lines of standard input without any.")] = None,
    backend: Backend = "auto",
    url: Urls = None,
    model: Model = None,
    key: Key = None,
    source: Annotated[Path | None, typer.Option("--from", help="A .jsonl or .parquet file of texts.")] = None,
    to: Annotated[Path | None, typer.Option(help="The .jsonl or .parquet file for their vectors.")] = None,
    column: Column = "text",
    id_column: Id = "id",
    keep: Keep = None,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Texts a request, with --from; by default what the rows allow, 64 at most."),
    ] = None,
    concurrency: Concurrency = None,
    overwrite: Overwrite = False,
    retry_errors: RetryErrors = False,
) -> None:
    """Embed texts, one JSON list of numbers a line; or a whole file: run again, it goes on where it was stopped."""
    try:
        with _client(backend, url, model, key) as client:
            if (source is None) != (to is None) or (source and texts):
                said = "`--from` and `--to` belong together, without texts as arguments."
                raise InvalidConfig(said, hint="vessel embed --from FROM --to TO   or   vessel embed 'a text'")
            if source is None or to is None:
                given = texts or [line.rstrip("\n") for line in io.StringIO(chatting.read_input())]
                models_shown.print_vectors(client, given)
            else:
                columns = {"column": column, "id_column": id_column, "keep": keep or ()}
                again = {"overwrite": overwrite, "retry_errors": retry_errors}
                working.run(
                    client, source, to, task="embed", batch_size=batch_size, concurrency=concurrency, **columns, **again
                )
    except VesselError as error:
        _fail(error)


@app.command()
def batch(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="A .jsonl or .parquet file of questions.")],
    to: Annotated[Path, typer.Argument(metavar="TO", help="The .jsonl or .parquet file for the answers.")],
    backend: Backend = "auto",
    url: Urls = None,
    model: Model = None,
    key: Key = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="A system message for each.")] = None,
    option: Annotated[list[str] | None, typer.Option("--option", "-o", help="temperature=0, max_tokens=200, …")] = None,
    column: Column = "text",
    id_column: Id = "id",
    keep: Keep = None,
    concurrency: Concurrency = None,
    overwrite: Overwrite = False,
    retry_errors: RetryErrors = False,
) -> None:
    """Ask a model every row of a file, a question or a list of messages; run again, it goes on where it was stopped."""
    try:
        options: dict[str, Any] = {**chatting.parse_options(option or ())}
        with _client(backend, url, model, key) as client:
            columns = {"column": column, "id_column": id_column, "keep": keep or ()}
            again = {"overwrite": overwrite, "retry_errors": retry_errors}
            working.run(
                client, source, to, task="chat", system=system, concurrency=concurrency, **columns, **again, **options
            )
    except VesselError as error:
        _fail(error)


@app.command()
def pull(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The model, such as qwen3:8b.")],
    backend: Backend = "auto",
    url: Url = None,
    key: Key = None,
) -> None:
    """Fetch a model (Ollama, LM Studio)."""
    try:
        with _reached(backend, url, key) as client:
            models_shown.follow(client.pull(name), f"pull {name}")
    except VesselError as error:
        _fail(error)


@app.command()
def load(
    name: Name,
    backend: Backend = "auto",
    url: Url = None,
    key: Key = None,
    num_ctx: Annotated[int | None, typer.Option(min=1, help="Context length in tokens.")] = None,
) -> None:
    """Load a model."""
    options = {} if num_ctx is None else {"num_ctx": num_ctx}
    try:
        with _reached(backend, url, key) as client:
            models_shown.follow(client.load(name, **options), f"load {name}")
    except VesselError as error:
        _fail(error)


@app.command()
def unload(name: Name, backend: Backend = "auto", url: Url = None, key: Key = None) -> None:
    """Unload a model."""
    try:
        with _reached(backend, url, key) as client:
            client.unload(name)
    except VesselError as error:
        _fail(error)
    typer.echo(f"{name} is unloaded.")


@app.command()
def serve(
    file: Annotated[Path | None, typer.Argument(help="A GGUF file; with --demo assistant, embedding, …")] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Serve a small demo model, the assistant without a name.")
    ] = False,
    host: Annotated[str, typer.Option(help="0.0.0.0 for containers; give a key then.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 lets the system pick one.")] = 8080,
    key: Key = None,
    mmproj: Annotated[Path | None, typer.Option(help="The image encoder that belongs to the model.")] = None,
    embeddings: Annotated[bool, typer.Option("--embeddings", help="Serve embeddings as well.")] = False,
    rerank: Annotated[bool, typer.Option("--rerank", help="Rank documents; for a model made for it.")] = False,
    context: Annotated[int, typer.Option(min=1, help="Context length in tokens, of all requests together.")] = 8192,
    parallel: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 4,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads that compute; all cores without a number, one with --demo.")
    ] = None,
) -> None:
    """Serve a model with the embedded llama.cpp until Ctrl-C."""
    options: Options = {"host": host, "port": port, "api_key": key, "context_length": context, "parallel": parallel}
    if not demo:
        options |= {"mmproj": mmproj, "embeddings": embeddings, "rerank": rerank, "threads": os.cpu_count() or 1}
    if threads:
        options["threads"] = threads
    try:
        if demo and (mmproj or embeddings or rerank):
            said = (
                "`--mmproj`, `--embeddings` and `--rerank` are for a file of yours: each demo model has what it needs."
            )
            raise InvalidConfig(said, hint="vessel serve --demo embedding   or   vessel serve --demo rerank")
        serving.serve(file, demo=demo, **options)
    except VesselError as error:
        _fail(error)


@app.command()
def demo() -> None:
    """Start the embedded demo model and show what works with it."""
    try:
        serving.demonstrate(Terminal())
    except VesselError as error:
        _fail(error)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"vessel {version('vessel-core')}")
        raise typer.Exit


@app.callback()
def vessel(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Local LLM servers: llama.cpp, LM Studio, Ollama and any OpenAI-compatible one."""
