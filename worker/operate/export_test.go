package operate

// SetFault has a step of what the desk does end as in a crash, where f returns an error.
func (d *Desk) SetFault(f func(point string) error) { d.fault = f }
