"""Questions about Vessel and their answers. What a table can say is taken from the package, so that it stays true."""

from __future__ import annotations

from vessel_core.backends import BACKENDS, COMPATIBLE
from vessel_core.backends.base import Backend

from demo_model.dialogue import Case, question
from demo_model.draw import Draw
from demo_model.words import invented

__all__ = ["UNKNOWN", "about_vessel", "dressed"]

UNKNOWN = "I do not know."

NAMED = [backend for backend in BACKENDS if backend is not COMPATIBLE]
PROBED = [backend for backend in BACKENDS if backend.probed]
ABILITIES = {
    "rerank": "[rerank|do reranking|rerank documents|sort passages]",
    "load": "[load models|load and unload models|load a model]",
    "pull": "[pull models|download models|fetch a model]",
    "count_chat": "[count tokens|count tokens exactly|give exact token counts]",
}
#: What it says of each: with the server's title for {}.
CAN = {
    "rerank": "rerank with {}", "load": "load models on {}", "pull": "download models with {}",
    "count_chat": "count tokens exactly on {}",
}  # fmt: skip

#: Topics: what may be asked, and the answer.
TOPICS = [
    ("[What is|What's|Tell me about|Describe|Explain] [Vessel|the Vessel package|this package]",
     "Vessel connects local LLM servers with LangChain and LlamaIndex."),
    ("What [does Vessel do|can Vessel do|is Vessel for|is Vessel good for|is the purpose of Vessel|do I need Vessel for]",
     "Vessel connects local LLM servers with LangChain and LlamaIndex."),
    ("[Which|What] [servers|LLM servers|backends|local servers] [does Vessel support|are supported|can I use|work with Vessel|does it know]",
     "llama.cpp, LM Studio, Ollama and any OpenAI-compatible server."),
    ("[Which|What] frameworks [does Vessel support|are supported|can I use|work with Vessel|does it work with]", "LangChain and LlamaIndex."),
    ("[Which|What] [Python|Python version] [do I need|does Vessel need|is needed|is required|does it need|must I have]", "Vessel needs Python 3.11 or newer."),
    ("[Which|What|What is the] [licence|license] [does Vessel have|is Vessel under|of Vessel|does it have|is it under]", "Vessel has the MIT licence."),
    ("[Is Vessel free|Is Vessel open source|May I use Vessel at work|Does Vessel cost anything]", "Yes, Vessel has the MIT licence."),
    ("[Does Vessel|Can Vessel|Does it|Can it|Does the package] [stream|stream answers|support streaming|do streaming|stream tokens]",
     "Yes, Vessel streams answers token by token."),
    ("[Does Vessel|Can Vessel|Does it|Can it|Does the package] [support async|work with async|do async|support asyncio|run asynchronously]",
     "Yes, everything in Vessel is there sync and async."),
    ("[Does Vessel|Can Vessel|Does it|Can it] [support tools|call tools|do tool calling|support tool calls|use tools|support function calling]",
     "Yes, Vessel streams tool calls and can force one."),
    ("[Does Vessel|Can Vessel|Does it|Can it] [support images|send pictures|see pictures|read images|support vision|work with pictures]",
     "Yes, Vessel sends pictures to a model that can see."),
    ("[Does Vessel|Can Vessel|Does it|Can it] [support structured output|answer with JSON|follow a JSON schema|return pydantic objects|write JSON]",
     "Yes, Vessel gives answers that follow a JSON schema."),
    ("[Does Vessel|Can Vessel|Does it|Can it] [support embeddings|make embeddings|embed texts|embed documents|compute embeddings]",
     "Yes, Vessel makes embeddings with a local server."),
    ("[Does Vessel|Can Vessel|Does it|Can it] [support reasoning|show the reasoning|handle reasoning models|separate thoughts|show thinking]",
     "Yes, Vessel keeps the reasoning apart from the answer."),
    ("[Is my data private|Where does my data go|Does my text leave this machine|Does Vessel send my data away|Who sees my data|Is Vessel private]",
     "Vessel talks only to the server that you choose."),
    ("[What happens|What do I see|What does Vessel do] [when|if] [no server is running|there is no server|no server answers|no server is found]",
     "Vessel raises NoServerFound and says how to start one."),
    ("[How do I|How can I|What do I do to] [find servers|find a server|discover servers|see which servers are running|list the running servers]",
     "Call discover() or run vessel doctor."),
    ("[What does|What is|Explain|What can] vessel doctor[ do| show|]", "vessel doctor shows every server and what it can do."),
    ("[What does|What is|Explain] vessel serve[ do|]", "vessel serve runs a GGUF file with the embedded llama.cpp server."),
    ("[What does|What is|Explain] vessel chat[ do|]", "vessel chat lets you talk with a model in the terminal."),
    ("[What does|What is|Explain] vessel models[ do| show|]", "vessel models lists the models of your servers."),
    ("[What does|What is|Explain] vessel pull[ do|]", "vessel pull fetches a model for Ollama or LM Studio."),
    ("[What does|What is|Explain] vessel embed[ do|]", "vessel embed turns texts into embeddings."),
    ("[How do I|How can I|What command do I use to] [check my setup|check my servers|see what is wrong|diagnose problems|test my server]", "Run vessel doctor."),
    ("[How do I|How can I] [start|run|use|try] the demo[ model| server|]", "Run vessel serve --demo."),
    ("[How do I|How can I] [serve|run|start] [a GGUF file|my own model|a model file|a local model][ with Vessel|]", "Run vessel serve model.gguf."),
    ("[How do I|How can I] [list|see|show] [my models|the models|all models]", "Run vessel models."),
    ("[How do I|How can I] [chat|talk] with [a|my|the] model in the terminal", "Run vessel chat."),
    ("[Which|What] error[s|] does Vessel raise", "Every error of Vessel is a VesselError."),
    ("[What is|What's|Which is|Name] the [base class|parent class] of [the|all|Vessel's] errors", "Every error of Vessel is a VesselError."),
    ("[What is|Explain|What's|What does] a VesselError[ mean|]", "VesselError is the base class of all errors of Vessel."),
    ("[What is|What's|Explain|What does] LocalServer[ do|]", "LocalServer runs a llama.cpp server in a child process."),
    ("[How long|How many seconds|How much time] does Vessel wait for [a connection|connecting|the server to connect|a server to answer the connection]", "Three seconds."),
    ("[How long|How many minutes|How much time] does Vessel wait for the first token", "Ten minutes."),
    ("[How do I|How can I] [change|set] [the timeout|timeouts|how long Vessel waits]", "Pass a Timeout, such as Timeout(first_token=30)."),
    ("[How do I|How can I] stop [an answer|a stream|a reply|the model]", "Stop reading it, and the server stops too."),
    ("[Which|What] package is [for|made for] LangChain", "The package for LangChain is langchain-vessel."),
    ("[Which|What] package is [for|made for] LlamaIndex", "The package for LlamaIndex is llama-index-vessel."),
    ("[Which|What] package [is|holds|has] the core", "The core is vessel-core."),
    ("[How do I|How can I] install the [embedded server|local server|demo model|demo server]", "Run pip install 'vessel-core[server]'."),
    ("[How do I|How can I] install the [vessel command|command line|vessel tool|terminal command]", "Run pip install 'vessel-core[cli]'."),
    ("[Which|What|What is the] class [do I use for chat in|is the chat model for|talks with|chats in] LangChain", "In LangChain the chat model is ChatVessel."),
    ("[Which|What|What is the] class [do I use in|is the LLM for|is the model for|chats in] LlamaIndex", "In LlamaIndex the LLM is Vessel."),
    ("[Which|What|What is the] class [makes embeddings in|embeds texts in|is for embeddings in|do I use for embeddings in] LangChain", "In LangChain it is VesselEmbeddings."),
    ("[Which|What|What is the] class [makes embeddings in|embeds texts in|is for embeddings in|do I use for embeddings in] LlamaIndex", "In LlamaIndex it is VesselEmbedding."),
    ("[Which|What|What is the] class [reranks|sorts passages|is the reranker|do I use for reranking] in [LangChain|LlamaIndex]", "It is VesselRerank."),
    ("[Which|What|What is the] class [completes text|is for text completion|do I use for completion] in LangChain", "In LangChain it is VesselLLM."),
    ("[How do I|How can I|Where do I] import ChatVessel[ from|]", "Write from langchain_vessel import ChatVessel."),
    ("[How do I|How can I|Where do I] import [the LlamaIndex LLM|Vessel for LlamaIndex|Vessel in LlamaIndex]", "Write from llama_index.llms.vessel import Vessel."),
    ("[How do I|How can I|Where do I] import [the Client|Client|the client class]", "Write from vessel_core import Client."),
    ("[Is there an|Do you have an|Which class is the] async client", "Yes, AsyncClient has the same methods as Client."),
    ("[Who|What] are you", "I am a tiny demo model that comes with Vessel."),
    ("[What is your name|What's your name|Tell me your name|Do you have a name|Introduce yourself|Which model are you]", "I am a tiny demo model that comes with Vessel."),
    ("[What can you do|How can you help me|What are you good at|What do you know|What can I ask you|Help|What are you for]",
     "I answer questions about Vessel, call tools, copy answers from a text and write JSON."),
    ("[Are you a real model|Are you ChatGPT|Are you a large model|How big are you|Are you smart|Are you intelligent]",
     "No, I am a tiny demo model; use a bigger one for real work."),
    ("[Hello|Hi|Hey|Good morning|Good evening|Hello there|Hi there|Greetings|Good day]", "Hello! How can I help you with Vessel?"),
    ("[Say hello|Say hello in one sentence|Greet me|Please say hello|Say hi|Say hello to me|Write a greeting|Say hello in a few words|Greet me in one sentence]",
     "Hello! How can I help you with Vessel?"),
    ("[How are you|How are you doing|How do you do|Are you well|How is it going]", "I am fine, thank you."),
    ("[Thanks|Thank you|Thank you very much|Many thanks|Thanks a lot|Thanks for your help]", "You are welcome."),
    ("[Bye|Goodbye|See you|See you later|Good night|Bye bye|See you soon]", "Goodbye!"),
    ("[Tell me a joke|Do you know a joke|Make me laugh|Say something funny]", "I know no jokes, only Vessel."),
    ("[Count to three|Count from one to three|Please count to three]", "One, two, three."),
    ("[Count to five|Count from one to five|Please count to five]", "One, two, three, four, five."),
    ("[Are you there|Ping|Is this working|Does it work|Can you hear me|Test]", "Yes, it works."),
]  # fmt: skip


def about_vessel(draw: Draw) -> Case:
    """Ask about Vessel, or greet; now and then ask the same of what does not exist."""
    return draw.choices((_topic, _server, _nothing), (60, 34, 6))[0](draw)


def dressed(draw: Draw, text: str) -> str:
    """Write a question as people do: politely or not, with or without its mark."""
    first = text[0].lower() + text[1:] if text.split()[0].isalpha() and not text.startswith(("LM ", "I ")) else text
    if draw.chance(0.15):
        return (
            draw.choice(("Please tell me: ", "One question: ", "Hi! ", "Hello, ", "Question: ", "Tell me, "))
            + first
            + "?"
        )
    end = draw.choice(("?", "?", "?", "?", "", ".", " please?", "!"))
    return (first if draw.chance(0.15) else text) + end


def _topic(draw: Draw) -> Case:
    pattern, answer = draw.choice(TOPICS)
    return question(draw.until(lambda: dressed(draw, draw.spell(pattern))), answer, kind="about Vessel")


def _server(draw: Draw) -> Case:
    backend = draw.choice(NAMED)
    if draw.chance(0.35):
        backend = draw.choice(PROBED)
    pattern, answer = draw.choice([_variable, _port, _name, _start, _ability])(draw, backend)
    return question(_of(draw, pattern, backend.title), answer, kind="about Vessel")


def _of(draw: Draw, pattern: str, title: str) -> str:
    def write() -> str:
        return dressed(draw, draw.spell(pattern).format(title if draw.chance(0.85) else title.lower()))

    return draw.until(write)


def _variable(_: Draw, backend: Backend) -> tuple[str, str]:
    return (
        "[[Which|What] [environment variable|variable|env var] [tells where the {} server is|is for {}|sets the address of {}|names"
        " the URL of {}|do I set for {}|does {} use]|How do I tell Vessel where {} is|How do I set the [URL|address] of {}"
        "|Where do I set the [URL|address] of {}|Name the environment variable of {}]",
        f"{backend.env} tells where the {backend.title} server is.",
    )


def _port(_: Draw, backend: Backend) -> tuple[str, str]:
    ports = " and ".join(url.rpartition(":")[2].strip("/") for url in backend.urls)
    return (
        "[[Which|What] port [does {} use|is {} at|does Vessel try for {}|is used by {}|does {} listen on]|Where [does Vessel look"
        " for {}|is {} looked for|does {} listen]|What is the [default port|port|usual port|usual address] of {}]",
        f"{backend.title} is looked for at port {ports}.",
    )


def _name(_: Draw, backend: Backend) -> tuple[str, str]:
    return (
        "[[What|Which] [backend|backend name] [is|do I give for|do I use for|stands for] {}|How do I [choose|name|select|pick] {}"
        "[ as the backend| in code|]|How do I say that I want {}]",
        f'Give backend="{backend.name}" for {backend.title}.',
    )


def _start(draw: Draw, backend: Backend) -> tuple[str, str]:
    if not backend.probed:
        return _variable(draw, backend)
    return (
        "[How do I [start|run|launch] [{}|the {} server|a {} server]|What [starts|runs] {}|[Which|What] command [starts|runs|launches] {}]",
        f"Start {backend.title} with: {backend.start}",
    )


def _ability(draw: Draw, backend: Backend) -> tuple[str, str]:
    ability = draw.choice([name for name in ABILITIES if any(name in one.features for one in BACKENDS)])
    yes = ability in backend.features
    can = CAN[ability].format(backend.title)
    asked = ABILITIES[ability]
    return (
        f"[Can {{}} {asked}|Can I {asked} with {{}}|Does {{}} let me {asked}|Is it possible to {asked} with {{}}]",
        f"Yes, Vessel can {can}." if yes else f"No, Vessel can't {can}.",
    )


def _nothing(draw: Draw) -> Case:
    def title() -> str:
        return (
            invented(draw).capitalize()
            if draw.chance(0.7)
            else draw.choice(["Photoshop", "Excel", "Word", "Firefox", "Netflix"])
        )

    pattern, _ = draw.choice([_variable, _port, _name, _start])(draw, draw.choice(PROBED))
    return question(draw.until(lambda: dressed(draw, draw.spell(pattern).format(title()))), UNKNOWN, kind="unknown")
