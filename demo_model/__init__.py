"""How the demo assistant is made: its texts, its vocabulary, its network, its training, its evaluation."""
