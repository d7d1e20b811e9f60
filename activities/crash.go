package activities

import (
	"maps"
	"slices"
)

// Points inside steps at which a worker under test can be made to die. Before
// and After name the others.
const (
	ReserveSigned      = "reserve.signed"      // signed, and nothing of it is stored
	BroadcastCommitted = "broadcast.committed" // stored that the bytes are about to leave, and none has left
	SettleCommitted    = "settle.committed"    // the outcome is stored, and the workflow does not know
)

// Before names the moment before a step.
func Before(step string) string { return step + ".before" }

// After names the moment when a step is done and nobody has been told.
func After(step string) string { return step + ".after" }

// CrashPoints lists every point at which Steps.Crash is called.
func CrashPoints() []string {
	var points []string
	for _, step := range slices.Sorted(maps.Keys((*Steps)(nil).ByName())) {
		points = append(points, Before(step), After(step))
	}
	return append(points, ReserveSigned, BroadcastCommitted, SettleCommitted)
}

// ByName returns the steps under the names that histories know them by.
func (s *Steps) ByName() map[string]any {
	return map[string]any{
		"Screen": s.Screen, "SelectRoute": s.SelectRoute, "ReserveNonce": s.ReserveNonce, "Broadcast": s.Broadcast,
		"AwaitConfirmation": s.AwaitConfirmation, "Settle": s.Settle, "Review": s.Review, "Look": s.Look,
		"DeliverWebhook": s.DeliverWebhook, "RetryWebhook": s.RetryWebhook,
		"SweepSlots": s.SweepSlots, "TendLanes": s.TendLanes, "Stranded": s.Stranded,
		"PaySchedule": s.PaySchedule, "FillBatch": s.FillBatch,
	}
}

// passing tells Crash, if there is one, that a point has been reached.
func (s *Steps) passing(point string) {
	if s.Crash != nil {
		s.Crash(point)
	}
}
