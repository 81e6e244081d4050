"""Images and events to spikes, and back."""
