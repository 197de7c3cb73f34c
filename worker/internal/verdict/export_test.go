package verdict

// Wrap adds what the wrapped errors say.
func (r *Reading) Wrap(inner Reading) { r.wrap(inner) }

// Nothing is a verb of no error.
func Nothing() error { return &marked{} }
