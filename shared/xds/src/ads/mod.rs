//! The ADS stream as a state machine.
