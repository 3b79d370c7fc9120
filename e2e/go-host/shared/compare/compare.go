// Package compare sends the same random requests to two plugins and compares their answers field by field.
//
// What gob itself loses is lost for both plugins alike: a pointer to a zero value and an empty slice arrive as nil, the
// name of a time zone arrives as its offset. What only shows in the host's memory, the message's JSON cannot tell
// either: both plugins render times in UTC to the second, as Kubernetes does.
package compare

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/argoproj-labs/argocd-ephemeral-access/pkg/plugin"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/hosting"
)

// Main runs the compare command.
func Main(version string, arguments []string) error {
	flags := flag.NewFlagSet("compare", flag.ContinueOnError)
	left := flags.String("go", "", "the reference plugin")
	right := flags.String("plugin", "", "the plugin to compare with it")
	seed := flags.Uint64("seed", uint64(time.Now().UnixNano()), "where the random requests start")
	cases := flags.Int("cases", 2000, "how many requests to send")
	only := flags.Int("only", -1, "send just the request of this number")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *left == "" || *right == "" {
		return errors.New("`-go` and `-plugin` must name the two plugins")
	}
	fmt.Printf("compare %s: seed %d, %d cases\n", version, *seed, *cases)
	pair, err := startPair(*left, *right)
	if err != nil {
		return err
	}
	defer pair.kill()
	if *only >= 0 {
		return pair.sendOne(*seed, *only)
	}
	return pair.sendAll(version, *seed, *cases)
}

type pair struct{ reference, other *hosting.Plugin }

func startPair(reference, other string) (*pair, error) {
	p := new(pair)
	var err error
	if p.reference, err = start(reference); err != nil {
		return nil, err
	}
	if p.other, err = start(other); err != nil {
		p.kill()
		return nil, err
	}
	return p, nil
}

func start(path string) (*hosting.Plugin, error) {
	started, err := hosting.Start(path, hosting.Options{})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := started.Init(); err != nil {
		started.Client.Kill()
		return nil, fmt.Errorf("%s: Init: %w", path, err)
	}
	return started, nil
}

func (p *pair) kill() {
	for _, plugin := range []*hosting.Plugin{p.reference, p.other} {
		if plugin != nil {
			plugin.Client.Kill()
		}
	}
}

func (p *pair) sendAll(version string, seed uint64, cases int) error {
	seen, outcomes, different := map[string]int{}, map[string]int{}, 0
	for number := range cases {
		r, err := p.send(seed, number)
		if err != nil {
			different++
			fmt.Printf("case %d: %s\n  again: gohost compare -seed %d -only %d\n", number, err, seed, number)
			if different == 10 {
				return errors.New("ten cases differ, not looking further")
			}
		}
		for path, count := range r.seen {
			seen[path] += count
		}
		outcomes[r.outcome]++
	}
	var unsent []string
	for path, count := range seen {
		if count == 0 {
			unsent = append(unsent, path)
		}
	}
	slices.Sort(unsent)
	fmt.Printf("compare %s: %d of %d identical; %d fields sent; outcomes %v\n", version, cases-different, cases, len(seen), outcomes)
	switch {
	case different > 0:
		return fmt.Errorf("%d of %d answers differ", different, cases)
	case len(unsent) > 0:
		return fmt.Errorf("these fields were never sent with a value: %s", strings.Join(unsent, ", "))
	case cases >= 1000 && len(outcomes) < 6:
		return fmt.Errorf("must see every kind of outcome, saw only %v", outcomes)
	}
	return nil
}

// sendOne shows a case and both answers.
func (p *pair) sendOne(seed uint64, number int) error {
	s := newRandom(seed, number).sample(number)
	expected, actual := ask(p.reference, s), ask(p.other, s)
	fmt.Printf("case %d, revoke: %t\n  reference: %s\n  plugin:    %s\n", number, s.revoke, expected, actual)
	return expected.equal(actual)
}

// sent is what a case covered.
type sent struct {
	seen    map[string]int
	outcome string
}

func (p *pair) send(seed uint64, number int) (sent, error) {
	r := newRandom(seed, number)
	s := r.sample(number)
	expected, actual := ask(p.reference, s), ask(p.other, s)
	return sent{r.seen, expected.outcome()}, expected.equal(actual)
}

// An answer is all that a host can see of a call's result.
type answer struct {
	absent  bool
	status  string
	message string
	err     error
}

func ask(requester plugin.AccessRequester, s sample) answer {
	if s.revoke {
		response, err := requester.RevokeAccess(s.accessRequest, s.application)
		if response == nil {
			return answer{absent: true, err: err}
		}
		return answer{false, string(response.Status), response.Message, err}
	}
	response, err := requester.GrantAccess(s.accessRequest, s.application)
	if response == nil {
		return answer{absent: true, err: err}
	}
	return answer{false, string(response.Status), response.Message, err}
}

func (a answer) String() string {
	if a.err != nil {
		return fmt.Sprintf("error %q", a.err)
	}
	return fmt.Sprintf("%s %s", a.status, a.message)
}

func (a answer) outcome() string {
	if a.err != nil {
		return "error"
	}
	return a.status
}

func (a answer) equal(b answer) error {
	if a.absent != b.absent {
		return fmt.Errorf("one response is nil: %v, %v (errors: %v, %v)", a.absent, b.absent, a.err, b.err)
	}
	if a.status != b.status {
		return fmt.Errorf("the statuses differ: %q, %q", a.status, b.status)
	}
	if err := equalErrors(a.err, b.err); err != nil {
		return err
	}
	if a.message == b.message {
		return nil
	}
	first, err := decode(a.message)
	if err != nil {
		return fmt.Errorf("the messages differ and the first is not JSON: %w: %s", err, short(a.message))
	}
	second, err := decode(b.message)
	if err != nil {
		return fmt.Errorf("the messages differ and the second is not JSON: %w: %s", err, short(b.message))
	}
	return equalJSON("", first, second)
}

func equalErrors(a, b error) error {
	if (a == nil) != (b == nil) {
		return fmt.Errorf("one error is nil: %v, %v", a, b)
	}
	if a == nil {
		return nil
	}
	if a.Error() != b.Error() {
		return fmt.Errorf("the errors differ: %q, %q", short(a.Error()), short(b.Error()))
	}
	var first, second *plugin.PluginError
	if !errors.As(a, &first) || !errors.As(b, &second) {
		return fmt.Errorf("the errors must be of type *plugin.PluginError, are %T and %T: %w", a, b, a)
	}
	return nil
}

func decode(text string) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader([]byte(text)))
	// Numbers keep their spelling: float64 would make neighbours of large integers equal.
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("something follows the value")
	}
	return value, nil
}

// equalJSON names the first field that differs. A field that is null equals one that is absent, as everywhere in
// Kubernetes; nothing else is forgiven but the spelling of a number.
func equalJSON(path string, a, b any) error {
	switch first := a.(type) {
	case map[string]any:
		if second, same := b.(map[string]any); same {
			return equalObjects(path, first, second)
		}
	case []any:
		if second, same := b.([]any); same && len(first) == len(second) {
			for i := range first {
				if err := equalJSON(fmt.Sprintf("%s[%d]", path, i), first[i], second[i]); err != nil {
					return err
				}
			}
			return nil
		}
	case json.Number:
		if second, same := b.(json.Number); same && equalNumbers(first, second) {
			return nil
		}
	default:
		if a == b {
			return nil
		}
	}
	return fmt.Errorf("%s differs: %s, %s", path, short(render(a)), short(render(b)))
}

func equalObjects(path string, a, b map[string]any) error {
	keys := map[string]bool{}
	for key := range a {
		keys[key] = true
	}
	for key := range b {
		keys[key] = true
	}
	for key := range keys {
		if err := equalJSON(path+"."+key, a[key], b[key]); err != nil {
			return err
		}
	}
	return nil
}

func equalNumbers(a, b json.Number) bool {
	first, ok := new(big.Rat).SetString(a.String())
	if !ok {
		return false
	}
	second, ok := new(big.Rat).SetString(b.String())
	return ok && first.Cmp(second) == 0
}

func render(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func short(text string) string {
	if len(text) > 300 {
		return fmt.Sprintf("%s… (%d bytes)", text[:300], len(text))
	}
	return text
}
