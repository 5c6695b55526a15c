"""What is said between processes and how it moves: messages, codec, ring, links, state, archive, replay."""
