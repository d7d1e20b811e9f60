package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/caarlos0/env/v11"
)

// Load reads the settings that the components need from the environment. The
// error is of type Faults and lists everything that is wrong.
func Load(components ...Component) (Config, error) {
	return Parse(env.ToMap(os.Environ()), components...)
}

// Parse is Load with another environment.
func Parse(environ map[string]string, components ...Component) (Config, error) {
	p := parser{environ: make(map[string]string), secret: make(map[string]bool)}
	var c Config
	fields := p.settings(reflect.TypeOf(c), components)
	for _, f := range fields {
		p.take(environ, f)
	}
	p.parse(&c, fields)
	p.check(&c, fields)
	if len(p.faults) > 0 {
		position := func(f Fault) int {
			return slices.IndexFunc(fields, func(s setting) bool { return s.name == f.Setting })
		}
		slices.SortStableFunc(p.faults, func(a, b Fault) int { return position(a) - position(b) })
		return Config{}, p.faults
	}
	return c, nil
}

// setting is what the tags of a field of Config say.
type setting struct {
	field  string
	name   string
	needed bool
	used   bool
	secret bool
}

type parser struct {
	environ map[string]string
	secret  map[string]bool
	faults  Faults
}

func (p *parser) settings(t reflect.Type, components []Component) []setting {
	var out []setting
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("env")
		if name == "" {
			continue
		}
		needed, used := f.Tag.Get("needed"), f.Tag.Get("used")
		s := setting{field: f.Name, name: name, secret: f.Tag.Get("secret") == "true", used: needed == "" && used == ""}
		for _, c := range components {
			s.needed = s.needed || slices.Contains(strings.Split(needed, ","), string(c))
			s.used = s.used || s.needed || slices.Contains(strings.Split(used, ","), string(c))
		}
		p.secret[name] = s.secret
		out = append(out, s)
	}
	return out
}

// take copies the setting's value, reading NAME_FILE for secrets.
func (p *parser) take(environ map[string]string, s setting) {
	if !s.used {
		return
	}
	value := strings.TrimSpace(environ[s.name])
	if file := environ[s.name+"_FILE"]; s.secret && file != "" {
		if value != "" {
			p.fault(s.name, "is set twice, also by "+s.name+"_FILE", "", "keep one of the two")
			return
		}
		content, err := os.ReadFile(file)
		if err != nil {
			p.fault(s.name, "cannot be read from "+s.name+"_FILE", strconv.Quote(file), "name a file this process may read ("+reason(err)+")")
			return
		}
		value = strings.TrimSpace(string(content))
	}
	if value != "" {
		p.environ[s.name] = value
	} else if s.needed {
		remedy := "set it, see .env.example"
		if s.secret {
			remedy = "set it or " + s.name + "_FILE, see .env.example"
		}
		p.fault(s.name, "is missing", "", remedy)
	}
}

// parse fills c. Numbers, durations and lists that do not parse are faults.
func (p *parser) parse(c *Config, fields []setting) {
	err := env.ParseWithOptions(c, env.Options{
		Environment: p.environ,
		FuncMap: map[reflect.Type]env.ParserFunc{
			reflect.TypeFor[Keyring](): parseKeyring,
		},
	})
	if err == nil {
		return
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		all.Errors = []error{err}
	}
	for _, err := range all.Errors {
		var pe env.ParseError
		if !errors.As(err, &pe) {
			p.fault("environment", err.Error(), "", "correct it")
			continue
		}
		i := slices.IndexFunc(fields, func(s setting) bool { return s.field == pe.Name })
		name := fields[i].name
		problem, remedy := "is not understood", "see .env.example"
		var ke keyringError
		switch {
		case errors.As(pe.Err, &ke):
			problem, remedy = ke.problem, "write id:hex, several separated by commas, the current one first; openssl rand -hex 32 makes one"
		case pe.Type.Kind() == reflect.Int:
			problem, remedy = "is not a whole number", "write digits only"
		case pe.Type.String() == "time.Duration":
			problem, remedy = "is not a duration", "write it like 20s or 1m30s"
		case name == "SETTLE_WEBHOOK_ALLOW_CIDRS":
			problem, remedy = "is not a list of networks", "write CIDRs separated by commas, e.g. 10.0.0.0/8"
		}
		p.fault(name, problem, p.show(name), remedy)
	}
}

// show quotes a setting's value for a fault, or says only its length.
func (p *parser) show(name string) string {
	value := p.environ[name]
	if value == "" {
		return ""
	}
	if p.secret[name] {
		return fmt.Sprintf("redacted, %d characters", len(value))
	}
	return strconv.Quote(value)
}

func (p *parser) fault(name, problem, value, remedy string) {
	p.faults = append(p.faults, Fault{Setting: name, Problem: problem, Value: value, Remedy: remedy})
}

func (p *parser) faulty(name string) bool {
	return slices.ContainsFunc(p.faults, func(f Fault) bool { return f.Setting == name })
}

// reason is the last part of a file error, without the path.
func reason(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
