//! The application description: text in, project and all problems out; host sets.
