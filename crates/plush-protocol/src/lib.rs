//! What is said over a wire: controller-agent messages and frames, operator commands, RunView.
