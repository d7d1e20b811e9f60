package worker

import (
	"context"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"

	"github.com/settlehq/settle/activities"
)

// crashes calls Steps.Crash before and after every step, local ones too. In a
// process without Crash there is no interceptor.
func crashes(steps *activities.Steps) []interceptor.WorkerInterceptor {
	if steps.Crash == nil {
		return nil
	}
	return []interceptor.WorkerInterceptor{&crashing{crash: steps.Crash}}
}

type crashing struct {
	interceptor.WorkerInterceptorBase
	crash func(point string)
}

func (c *crashing) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	step := &crashingStep{crash: c.crash}
	step.Next = next
	return step
}

type crashingStep struct {
	interceptor.ActivityInboundInterceptorBase
	crash func(point string)
}

func (s *crashingStep) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	name := activity.GetInfo(ctx).ActivityType.Name
	s.crash(activities.Before(name))
	result, err := s.Next.ExecuteActivity(ctx, in)
	s.crash(activities.After(name))
	return result, err
}
