package workflows

import (
	"time"

	enums "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
)

// The one table of activity options. Nothing of a payment has a maximum of
// attempts: an unknown outcome is retried for ever, and what a person must see
// is a status of the intent, not a failed workflow.
var (
	// database: short transactions, run inside the workflow task.
	database = workflow.LocalActivityOptions{
		StartToCloseTimeout:    10 * time.Second,
		ScheduleToCloseTimeout: 365 * 24 * time.Hour,
		RetryPolicy:            backoff(100*time.Millisecond, 15*time.Second),
	}
	// sending: one RPC call with its own timeout. A dead worker is noticed after 20 s.
	sending = workflow.ActivityOptions{
		StartToCloseTimeout: 20 * time.Second,
		RetryPolicy:         backoff(500*time.Millisecond, 30*time.Second),
	}
	// waiting: as long as the chain takes. A dead worker is noticed by its
	// missing heartbeat.
	waiting = workflow.ActivityOptions{
		StartToCloseTimeout: 365 * 24 * time.Hour,
		HeartbeatTimeout:    30 * time.Second,
		RetryPolicy:         backoff(500*time.Millisecond, 30*time.Second),
	}
	// delivering: first attempts at the webhooks of one intent, 15 s each.
	delivering = workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		HeartbeatTimeout:    20 * time.Second,
		RetryPolicy:         backoff(time.Second, time.Minute),
	}
	// redelivering: the activity itself names each delay (NextRetryDelay) and
	// ends when the schedule does. What is configured here bounds its delays, and is
	// for workers that died.
	redelivering = workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		HeartbeatTimeout:    20 * time.Second,
		RetryPolicy:         backoff(5*time.Second, 24*time.Hour),
	}
	// filling: chunks of a batch for about ten seconds. A dead worker is noticed
	// when its time is over.
	filling = workflow.ActivityOptions{
		StartToCloseTimeout: 30 * time.Second,
		RetryPolicy:         backoff(time.Second, 30*time.Second),
	}
	// upkeep: one round, which the next one repeats. A dead worker is noticed when
	// its time is over.
	upkeep = workflow.ActivityOptions{
		StartToCloseTimeout: time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
	}
)

// lookEvery is how often a payment that waits for a person looks whether it
// was changed behind its back.
const lookEvery = time.Hour

// How often a batch looks whether further lines may become payments: soon after
// anything happened, later and later while nothing does. After batchRounds looks,
// of about 11 events each, it continues in a new history.
const (
	fillEvery   = time.Second
	fillAtMost  = time.Minute
	batchRounds = 100
)

func backoff(first, most time.Duration) *temporal.RetryPolicy {
	return &temporal.RetryPolicy{InitialInterval: first, BackoffCoefficient: 2, MaximumInterval: most}
}

// apart lets a child outlive the workflow that started it.
func apart(id string) workflow.ChildWorkflowOptions {
	return workflow.ChildWorkflowOptions{
		WorkflowID:            id,
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowIDReusePolicy: enums.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
	}
}
