package api

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/settlehq/settle/routing"
	"github.com/settlehq/settle/telemetry"
)

// checkReadyTimeout bounds each check of /ready.
const checkReadyTimeout = 3 * time.Second

func (s *surface) registerHealth() {
	register(s.api, operation{
		method: http.MethodGet, path: "/health", id: "health", tag: serviceTag, public: true,
		summary: "Whether the process runs",
	}, func(context.Context, *struct{}) (*healthOutput, error) {
		var out healthOutput
		out.Body.Status = "ok"
		return &out, nil
	})
}

func (s *Server) registerReady() {
	register(s.api, operation{
		method: http.MethodGet, path: "/ready", id: "ready", tag: serviceTag, public: true,
		summary:     "Whether payments can be accepted and made",
		description: "503 if a check fails; the checks say which. Payments are accepted as long as the database answers, and wait for the rest.",
	}, s.ready)
	responses := s.api.OpenAPI().Paths["/ready"].Get.Responses
	responses["503"] = &huma.Response{Description: "Not ready", Content: responses["200"].Content}
}

type healthOutput struct {
	Body struct {
		Status string `json:"status" enum:"ok"`
	}
}

// Readiness is the verdict with its checks.
type Readiness struct {
	Status string           `json:"status" enum:"ready,not_ready"`
	Checks []ReadinessCheck `json:"checks"`
}

// ReadinessCheck is one thing that payments need.
type ReadinessCheck struct {
	Name   string `json:"name" doc:"postgres, temporal, or chain:<name>" example:"postgres"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
	Millis int64  `json:"duration_ms"`
}

type readyOutput struct {
	Status int
	Body   Readiness
}

func (s *Server) ready(ctx context.Context, _ *struct{}) (*readyOutput, error) {
	ctx, cancel := context.WithTimeout(ctx, checkReadyTimeout)
	defer cancel()
	var checks [3][]ReadinessCheck
	var wg sync.WaitGroup
	wg.Go(func() { checks[0] = timed(ctx, s.checkPostgres) })
	wg.Go(func() { checks[1] = timed(ctx, s.checkTemporal) })
	wg.Go(func() { checks[2] = timed(ctx, s.checkChains) })
	wg.Wait()

	out := &readyOutput{Status: http.StatusOK, Body: Readiness{Status: "ready", Checks: []ReadinessCheck{}}}
	for _, group := range checks {
		for _, c := range group {
			out.Body.Checks = append(out.Body.Checks, c)
			if !c.OK {
				out.Status, out.Body.Status = http.StatusServiceUnavailable, "not_ready"
			}
		}
	}
	return out, nil
}

func timed(ctx context.Context, check func(context.Context) []ReadinessCheck) []ReadinessCheck {
	began := time.Now()
	out := check(ctx)
	for i := range out {
		out[i].Millis = time.Since(began).Milliseconds()
	}
	return out
}

// judge makes a check of an error. The error goes to the log: /ready is public.
func judge(ctx context.Context, name string, err error) []ReadinessCheck {
	if err != nil {
		telemetry.Add(ctx, zap.NamedError(name, err))
		return []ReadinessCheck{{Name: name, Detail: "no answer"}}
	}
	return []ReadinessCheck{{Name: name, OK: true}}
}

func (s *Server) checkPostgres(ctx context.Context) []ReadinessCheck {
	return judge(ctx, "postgres", s.store.Ping(ctx))
}

func (s *Server) checkTemporal(ctx context.Context) []ReadinessCheck {
	_, err := s.temporal.CheckHealth(ctx, &client.CheckHealthRequest{})
	return judge(ctx, "temporal", err)
}

func (s *Server) checkChains(ctx context.Context) []ReadinessCheck {
	networks, err := s.networks(ctx)
	var out []ReadinessCheck
	for _, c := range s.destinations.Chains() {
		name := "chain:" + string(c.Name)
		n, seen := networks[c.Name]
		age := s.now().Sub(n.ObservedAt).Round(time.Second)
		switch {
		case err != nil:
			out = append(out, judge(ctx, name, err)...)
		case !seen:
			out = append(out, ReadinessCheck{Name: name, Detail: "no worker has reported it"})
		case age > routing.MaxAge:
			out = append(out, ReadinessCheck{Name: name, Detail: fmt.Sprintf("last reported %s ago", age)})
		default:
			out = append(out, ReadinessCheck{Name: name, OK: true})
		}
	}
	return out
}
