package api_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/settlehq/settle/internal/storetest"
	"github.com/settlehq/settle/payment"
)

// shown is a curl command of the handbook, and the answer that it shows, or "".
type shown struct {
	line   int
	args   []string
	answer string
}

// examplesIn reads a page: code blocks are indented, and an answer stands below
// its command, in the same block or in the next.
func examplesIn(t *testing.T, file string) []shown {
	t.Helper()
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var found []shown
	open := false // whether the last command may still be answered
	lines := strings.Split(string(page), "\n")
	for i := 0; i < len(lines); i++ {
		line, isCode := strings.CutPrefix(lines[i], "    ")
		switch {
		case !isCode:
			open = open && lines[i] == ""
		case strings.HasPrefix(line, "curl "):
			command := line
			for (strings.HasSuffix(command, `\`) || strings.Count(command, "'")%2 == 1) && i+1 < len(lines) {
				i++
				command = strings.TrimSuffix(command, `\`) + "\n" + strings.TrimPrefix(lines[i], "    ")
			}
			found, open = append(found, shown{line: i + 1, args: words(command)}), true
		case open:
			found[len(found)-1].answer += line + "\n"
		}
		if open && lines[i] == "" && len(found) > 0 && found[len(found)-1].answer != "" {
			found[len(found)-1].answer += "\n"
		}
	}
	return found
}

// words splits a command as a shell does, without expanding variables.
func words(command string) []string {
	var out []string
	for _, m := range regexp.MustCompile(`'([^']*)'|"([^"]*)"|(\S+)`).FindAllStringSubmatch(command, -1) {
		out = append(out, m[1]+m[2]+m[3])
	}
	return out[1:] // without curl
}

// TestHandbookExamplesWork sends every curl command of the handbook, and
// compares the answer with the one that is shown: what is shown is there, and of
// that kind.
func TestHandbookExamplesWork(t *testing.T) {
	t.Parallel()
	for file, least := range map[string]int{"../docs/api.md": 7, "../docs/operations.md": 3, "../docs/webhooks.md": 1, "../README.md": 1} {
		b := setup(t)
		operators := b.operators()
		ahead := min(0, time.Until(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)).Truncate(time.Second)) // then the deadline of an example is to come
		b.clock.Store(int64(ahead.Seconds()))
		b.publish("ethereum", 10_000_000_000_000, 900, 500_000_000, -ahead)
		merchant := storetest.Merchant(t, b.store, funds).ID
		b.sponsorMerchant(merchant, 10)
		b.key = b.issue(merchant, payment.Live)
		b.create() // whom pi_... and $CURSOR are about
		eventually(t, "the log shows the payment", func() bool { return len(b.do("GET", "/v1/events", nil).want(200).data()) > 0 })
		cursor := b.do("GET", "/v1/events", nil).want(200).json["next_cursor"].(string)
		second := b.create()
		eventually(t, "the log shows the other payment", func() bool {
			return len(b.do("GET", "/v1/events?after="+cursor, nil).want(200).data()) > 0
		})
		filled := strings.NewReplacer("https://pay.example.com", b.http.URL, "$SETTLE_API_URL", b.http.URL, "$URL", b.http.URL,
			"$SETTLE_API_KEY", b.key, "$CURSOR", cursor, "pi_...", second.id(),
			"$ADMIN_URL", operators.http.URL, "$ADMIN_KEY", operators.key, "mer_...", merchant, "qt_...", b.do("POST", "/v1/quotes", order()).want(201).id())
		examples := examplesIn(t, file)
		if len(examples) < least {
			t.Errorf("%s: %d examples were found, want %d", file, len(examples), least)
		}
		for _, e := range examples {
			a := b.curl(e.args, filled)
			if err := sameShape(e.answer, a); err != nil || a.StatusCode >= 300 {
				t.Errorf("%s:%d: %d %.500s: %v", file, e.line, a.StatusCode, a.raw, err)
			}
		}
	}
}

// curl sends what curl would.
func (b *bench) curl(args []string, filled *strings.Replacer) answer {
	b.t.Helper()
	method, url, headers, body := http.MethodGet, "", http.Header{}, ""
	for i := 0; i < len(args); i++ {
		switch arg := filled.Replace(args[i]); arg {
		case "-s", "-sN":
		case "-H":
			i++
			name, value, _ := strings.Cut(filled.Replace(args[i]), ": ")
			headers.Set(name, value)
		case "-d":
			i++
			method, body = http.MethodPost, filled.Replace(args[i])
		case "--data-binary":
			i++
			method, body = http.MethodPost, "amount,asset,chain,address\n12.50,USDC,ethereum,"+payee+"\n1,USDC,ethereum,"+payee+"\n"
		default:
			if strings.HasPrefix(arg, "-") || url != "" {
				b.t.Fatalf("curl %q: the test does not know %q", args, arg)
			}
			url = arg
		}
	}
	r, err := http.NewRequestWithContext(b.t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header = headers
	resp, err := b.http.Client().Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	a := answer{t: b.t, Response: resp}
	if a.raw, err = io.ReadAll(resp.Body); err != nil {
		b.t.Fatal(err)
	}
	return a
}

// elision is what stands for more of the same, which JSON does not know.
var elision = regexp.MustCompile(`,\s*\.\.\.|\.\.\.\s*,`)

// sameShape compares an answer with what the handbook shows of it: perhaps a
// status line with headers, then JSON or server-sent events.
func sameShape(example string, a answer) error {
	text := elision.ReplaceAllString(strings.TrimSpace(example), "")
	if rest, ok := strings.CutPrefix(text, "HTTP/1.1 "); ok {
		head, body, _ := strings.Cut(rest, "\n\n")
		lines := strings.Split(head, "\n")
		if status, _, _ := strings.Cut(lines[0], " "); status != strconv.Itoa(a.StatusCode) {
			return fmt.Errorf("the handbook shows %s", lines[0])
		}
		for _, line := range lines[1:] {
			if name, _, _ := strings.Cut(line, ":"); a.Header.Get(name) == "" {
				return fmt.Errorf("there is no header %s", name)
			}
		}
		text = body
	}
	got := a.raw
	if strings.HasPrefix(text, "id: ") {
		text, got = firstData(text), []byte(firstData(string(a.raw)))
	}
	if text == "" {
		return nil
	}
	var want, is any
	if err := json.Unmarshal([]byte(text), &want); err != nil {
		return fmt.Errorf("what the handbook shows is no JSON: %w: %s", err, text)
	}
	if err := json.Unmarshal(got, &is); err != nil {
		return err
	}
	return within("", want, is)
}

func firstData(stream string) string {
	_, data, _ := strings.Cut(stream, "\ndata: ")
	data, _, _ = strings.Cut(data, "\n")
	return data
}

// within reports what of an example an answer lacks.
func within(at string, example, got any) error {
	switch e := example.(type) {
	case map[string]any:
		g, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is %T, the handbook shows an object", at, got)
		}
		for name, v := range e {
			value, there := g[name]
			if !there {
				return fmt.Errorf("the answer has no %s/%s", at, name)
			}
			if err := within(at+"/"+name, v, value); err != nil {
				return err
			}
		}
	case []any:
		g, ok := got.([]any)
		if !ok || len(g) < len(e) {
			return fmt.Errorf("%s is %v, the handbook shows a list of %d", at, got, len(e))
		}
		for i := range e {
			if err := within(fmt.Sprintf("%s/%d", at, i), e[i], g[i]); err != nil {
				return err
			}
		}
	default:
		if fmt.Sprintf("%T", example) != fmt.Sprintf("%T", got) {
			return fmt.Errorf("%s is %v, the handbook shows %v", at, got, example)
		}
	}
	return nil
}
