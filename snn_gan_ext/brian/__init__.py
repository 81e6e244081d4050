"""The same networks in Brian2, to cross-check spikes and statistics. Needs the extra ``brian2``."""
