package dlq

import "context"

// At returns the dead letter at a place in the stream, with the body that is stored in it.
// [ErrNotFound] means that there is none, or no more; an [*UnreadableError] that it is none.
func (d *Store) At(ctx context.Context, sequence uint64) (Stored, error) {
	l, err := d.read(ctx, sequence)
	if err == nil {
		l.DataModel, l.EventType = readModel(l.Body)
	}
	return l, err
}

// Last is the place of the last dead letter in the stream; 0 where there never was one.
func (d *Store) Last(ctx context.Context) (uint64, error) {
	state, err := d.deadState(ctx)
	return state.LastSeq, err
}
