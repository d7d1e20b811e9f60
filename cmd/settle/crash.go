package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"

	"github.com/settlehq/settle/activities"
	"github.com/settlehq/settle/config"
)

// crashAt returns what makes this process kill itself with -9 the n-th time
// that it passes a point, as "point:n" says (SETTLE_CRASH_AT). It is nil
// without a setting, which is refused outside of SETTLE_ENV=test.
func crashAt(e config.Environment, setting string) (func(point string), error) {
	if setting == "" {
		return nil, nil
	}
	if e != config.Test {
		return nil, config.Faults{{Setting: "SETTLE_CRASH_AT", Problem: "makes this process kill itself", Remedy: "remove it; it is for SETTLE_ENV=test"}}
	}
	point, count, _ := strings.Cut(setting, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if err != nil || n < 1 || !slices.Contains(activities.CrashPoints(), point) {
		return nil, fmt.Errorf("SETTLE_CRASH_AT %q: write point:n with n from 1, and one of %v", setting, activities.CrashPoints())
	}
	var passed atomic.Int64
	return func(at string) {
		if at == point && passed.Add(1) == n {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // nothing more happens in this process
		}
	}, nil
}
