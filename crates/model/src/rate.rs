//! How often something may happen: the generic cell rate algorithm, as a pure function of time.
