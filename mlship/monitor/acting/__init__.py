"""What follows an incident, each thing once: messages, training, a way back, a pause."""
