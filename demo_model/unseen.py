"""What the model is asked in its evaluation beyond cases of the held-out tenth: written by hand, ordinary English."""

from __future__ import annotations

__all__ = ["LIBRARY", "OFF_TOPIC", "PARAPHRASED"]

#: Fifteen passages; of each, a question and the sentence that answers it.
LIBRARY: tuple[tuple[str, str, str], ...] = (
    ("Our bakery opens at six in the morning. Fresh rolls are sold out by ten.", "When does the bakery open?",
     "Our bakery opens at six in the morning."),
    ("The lighthouse was built in 1874. Its lamp can be seen from thirty kilometres away.", "When was the lighthouse built?",
     "The lighthouse was built in 1874."),
    ("Tickets for the night bus are sold by the driver. Children under six travel free of charge.", "Who sells tickets for the night bus?",
     "Tickets for the night bus are sold by the driver."),
    ("Water the orchid once a week. Too much sun burns its leaves.", "How often should I water the orchid?", "Water the orchid once a week."),
    ("The swimming pool closes for repairs in August.", "When is the swimming pool closed for repairs?", "The swimming pool closes for repairs in August."),
    ("Marta Lind leads the chemistry department. She joined it nine years ago.", "Who leads the chemistry department?",
     "Marta Lind leads the chemistry department."),
    ("A full charge of the scooter takes four hours. The charger hangs next to the garage door.", "How long does a full charge of the scooter take?",
     "A full charge of the scooter takes four hours."),
    ("Lost keys are kept at the reception desk.", "Where are lost keys kept?", "Lost keys are kept at the reception desk."),
    ("The choir rehearses on Thursday evenings. New voices are always welcome.", "When does the choir rehearse?", "The choir rehearses on Thursday evenings."),
    ("Penguins keep their eggs warm on their feet.", "How do penguins keep their eggs warm?", "Penguins keep their eggs warm on their feet."),
    ("The elevator carries at most eight people. In case of fire, use the stairs.", "How many people does the elevator carry?",
     "The elevator carries at most eight people."),
    ("Mix the plaster with two litres of cold water. It hardens within twenty minutes.", "How much water do I mix with the plaster?",
     "Mix the plaster with two litres of cold water."),
    ("The treaty was signed in a small village near Utrecht.", "Where was the treaty signed?", "The treaty was signed in a small village near Utrecht."),
    ("Employees have twenty-eight days of holiday. Requests go to the personnel office.", "How many days of holiday do employees have?",
     "Employees have twenty-eight days of holiday."),
    ("The violin belonged to a count from Bohemia. Its strings were replaced last spring.", "Whom did the violin belong to?",
     "The violin belonged to a count from Bohemia."),
)  # fmt: skip

OFF_TOPIC: tuple[str, ...] = (
    "What is the capital of France?", "Who painted the Mona Lisa?", "How tall is Mount Everest?", "Why is the sky blue?",
    "When did the Second World War end?", "What is the boiling point of water?", "How do I bake a chocolate cake?", "Who won the football match yesterday?",
    "What is the meaning of life?", "Can you recommend a good novel?", "How many planets are there?", "What is 17 times 23?",
    "Translate good morning into Spanish.", "Write a poem about autumn.", "Is it going to rain tomorrow?", "What should I cook for dinner?",
    "Who is the president of Brazil?", "How far is the moon?", "What does photosynthesis mean?", "Tell me about the Roman Empire.",
    "Which animal is the fastest?", "How do I remove a wine stain?", "What are the symptoms of a cold?", "Explain quantum mechanics.",
    "When was Mozart born?", "What is a black hole?", "How does a refrigerator work?", "Why do cats purr?",
    "What time is it?", "How old are you?", "Where is Timbuktu?", "What is the best phone to buy?",
    "How do I tie a tie?", "Who invented the telephone?", "Is a tomato a fruit?", "What colour are flamingos?",
    "How much does a house cost?", "Name the seven dwarfs.", "What language is spoken in Austria?", "How can I lose weight?",
)  # fmt: skip

#: Questions about Vessel in words that no pattern has, and what an answer must hold.
PARAPHRASED: tuple[tuple[str, str], ...] = (
    ("I wonder what Vessel is.", "LangChain and LlamaIndex"),
    ("Which port should I expect Ollama on?", "11434"),
    ("Could you tell me which environment variable I need for LM Studio?", "LMSTUDIO_URL"),
    ("With which command can Ollama be started?", "ollama serve"),
    ("Does Vessel work with async code?", "sync and async"),
    ("Under which license is Vessel published?", "MIT"),
    ("What's the minimum Python version for Vessel?", "3.11"),
    ("Is streaming possible with Vessel?", "streams"),
    ("In LangChain, which class is used for chat?", "ChatVessel"),
    ("Hey, who are you?", "demo model"),
    ("Hi there!", "Hello"),
    ("Would you say hello to me please?", "Hello"),
    ("Which kinds of servers can Vessel talk to?", "llama.cpp"),
    ("Where does Vessel expect the llama.cpp server?", "8080"),
    ("Can Vessel handle pictures?", "picture"),
    ("How do I find out which servers are up?", "discover"),
)  # fmt: skip
