package main

import (
	"testing"

	"github.com/settlehq/settle/config"
)

// Only a test environment can make a worker kill itself.
func TestCrashAtIsForTestsOnly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		env     config.Environment
		setting string
		set, ok bool
	}{
		{config.Test, "Settle.before:3", true, true},
		{config.Test, "broadcast.committed:1", true, true},
		{config.Test, "", false, true},
		{config.Production, "Settle.before:3", false, false},
		{config.Development, "Settle.before:3", false, false},
		{config.Production, "", false, true},
		{config.Test, "Settle.before", false, false},
		{config.Test, "Settle.before:0", false, false},
		{config.Test, "nowhere:1", false, false},
	} {
		crash, err := crashAt(c.env, c.setting)
		if (crash != nil) != c.set || (err == nil) != c.ok {
			t.Errorf("%s, %q: set %t, error %v", c.env, c.setting, crash != nil, err)
		}
	}
}
