package activities

import "context"

// Look reads how an intent stands, and changes nothing.
func (s *Steps) Look(ctx context.Context, in Ref) (State, error) {
	i, err := s.Store.Intent(ctx, in.IntentID)
	if err != nil {
		return State{}, err
	}
	return stateOf(i), nil
}
