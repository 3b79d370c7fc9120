// Package bench measures plugins side by side, under one host and in one run.
package bench

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/hosting"
	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/knownanswers"
	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/refplugin"
)

const (
	callers = 16
	warmUp  = 2000
	// Latencies are taken in turns, so that whatever else the machine does meets both.
	block = 50
)

// Figures are one plugin's. Times are in microseconds, memory is in KiB, sizes are in bytes.
type Figures struct {
	Name           string  `json:"name"`
	StartMedian    float64 `json:"startMedianMicroseconds"`
	StartP99       float64 `json:"startP99Microseconds"`
	Starts         int     `json:"starts"`
	CallP50        float64 `json:"callP50Microseconds"`
	CallP99        float64 `json:"callP99Microseconds"`
	Calls          int     `json:"calls"`
	CallsPerSecond float64 `json:"callsPerSecond"`
	Resident40k    int     `json:"residentAfter40000CallsKiB"`
	Resident500k   int     `json:"residentAfter500000CallsKiB,omitempty"`
	ResidentPeak   int     `json:"residentPeakKiB"`
	BinarySize     int64   `json:"binarySizeBytes"`
	path           string
	starts, calls  []time.Duration
	throughputs    []float64
}

// Result is what the JSON file holds.
type Result struct {
	Upstream string     `json:"upstream"`
	Callers  int        `json:"callers"`
	CPUs     int        `json:"cpus"`
	Go       string     `json:"go"`
	Plugins  []*Figures `json:"plugins"`
}

// Main runs the bench command.
func Main(version string, arguments []string) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	reference := flags.String("go", "", "the reference plugin, stripped and static")
	other := flags.String("plugin", "", "the plugin to measure beside it, likewise")
	starts := flags.Int("starts", 100, "how often to start each plugin")
	calls := flags.Int("calls", 20000, "how many latencies to take from each plugin")
	long := flags.Bool("long", false, "also measure memory after 500,000 calls")
	output := flags.String("json", "", "write the figures to this file as well")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *reference == "" || *other == "" {
		return errors.New("`-go` and `-plugin` must name the two plugins")
	}
	result := Result{
		Upstream: version, Callers: callers, CPUs: runtime.NumCPU(), Go: runtime.Version(),
		Plugins: []*Figures{{Name: "Go", path: *reference}, {Name: "Rust", path: *other}},
	}
	for _, step := range []func() error{
		func() error { return result.sizes() },
		func() error { return result.measureStarts(*starts) },
		func() error { return result.measureCalls(*calls, *long) },
	} {
		if err := step(); err != nil {
			return err
		}
	}
	fmt.Print(result.markdown())
	if *output == "" {
		return nil
	}
	text, err := json.MarshalIndent(result, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*output, append(text, '\n'), 0o644)
}

func (r *Result) sizes() error {
	for _, f := range r.Plugins {
		information, err := os.Stat(f.path)
		if err != nil {
			return err
		}
		f.BinarySize = information.Size()
	}
	return nil
}

func (r *Result) measureStarts(count int) error {
	for i := range count + 5 {
		for _, f := range r.Plugins {
			begin := time.Now()
			started, err := start(f.path)
			if err != nil {
				return err
			}
			// The first ones warm the page cache.
			if took := time.Since(begin); i >= 5 {
				f.starts = append(f.starts, took)
			}
			started.Client.Kill()
		}
	}
	for _, f := range r.Plugins {
		f.Starts, f.StartMedian, f.StartP99 = len(f.starts), percentile(f.starts, 50), percentile(f.starts, 99)
	}
	return nil
}

func start(path string) (*hosting.Plugin, error) {
	started, err := hosting.Start(path, hosting.Options{})
	if err != nil {
		return nil, err
	}
	return started, started.Init()
}

func (r *Result) measureCalls(count int, long bool) error {
	plugins := make([]*hosting.Plugin, len(r.Plugins))
	done := make([]int, len(r.Plugins))
	for i, f := range r.Plugins {
		started, err := start(f.path)
		if err != nil {
			return err
		}
		defer started.Client.Kill()
		plugins[i] = started
		if _, err := callTimes(started, warmUp); err != nil {
			return err
		}
		done[i] += warmUp
	}
	for range (count + block - 1) / block {
		for i, f := range r.Plugins {
			times, err := callTimes(plugins[i], block)
			if err != nil {
				return err
			}
			f.calls = append(f.calls, times...)
			done[i] += block
		}
	}
	if err := r.residentAfter(40_000, plugins, done, func(f *Figures) *int { return &f.Resident40k }); err != nil {
		return err
	}
	for range 3 {
		for i, f := range r.Plugins {
			perSecond, made, err := throughput(plugins[i], 2*time.Second)
			if err != nil {
				return err
			}
			f.throughputs = append(f.throughputs, perSecond)
			done[i] += made
		}
	}
	if long {
		if err := r.residentAfter(500_000, plugins, done, func(f *Figures) *int { return &f.Resident500k }); err != nil {
			return err
		}
	}
	for i, f := range r.Plugins {
		f.Calls, f.CallP50, f.CallP99 = len(f.calls), percentile(f.calls, 50), percentile(f.calls, 99)
		slices.Sort(f.throughputs)
		f.CallsPerSecond = f.throughputs[len(f.throughputs)/2]
		_, peak, err := hosting.ResidentKiB(plugins[i].Pid())
		if err != nil {
			return err
		}
		f.ResidentPeak = peak
	}
	return nil
}

// residentAfter makes the calls that are missing, then takes the memory.
func (r *Result) residentAfter(calls int, plugins []*hosting.Plugin, done []int, into func(*Figures) *int) error {
	for i, f := range r.Plugins {
		if missing := calls - done[i]; missing > 0 {
			if _, err := callTimes(plugins[i], missing); err != nil {
				return err
			}
			done[i] = calls
		}
		now, _, err := hosting.ResidentKiB(plugins[i].Pid())
		if err != nil {
			return err
		}
		*into(f) = now
	}
	return nil
}

// ask makes one call whose answer costs the plugin nothing but the protocol.
func ask(started *hosting.Plugin, r knownanswers.Request) error {
	response, err := started.GrantAccess(r.AccessRequest, r.Application)
	if err != nil {
		return err
	}
	if response == nil || response.Status != "grant-pending" {
		return fmt.Errorf("must be pending, got %v", response)
	}
	return nil
}

// representative is a request with every field set.
func representative() knownanswers.Request {
	r := knownanswers.Full()
	r.AccessRequest.Annotations[refplugin.Annotation] = "pending"
	return r
}

func callTimes(started *hosting.Plugin, count int) ([]time.Duration, error) {
	r := representative()
	times := make([]time.Duration, 0, count)
	for range count {
		begin := time.Now()
		if err := ask(started, r); err != nil {
			return nil, err
		}
		times = append(times, time.Since(begin))
	}
	return times, nil
}

func throughput(started *hosting.Plugin, during time.Duration) (perSecond float64, made int, err error) {
	var group sync.WaitGroup
	var count atomic.Int64
	failed := make(chan error, callers)
	begin := time.Now()
	for range callers {
		group.Go(func() {
			for r := representative(); time.Since(begin) < during; count.Add(1) {
				if err := ask(started, r); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	took := time.Since(begin)
	close(failed)
	return float64(count.Load()) / took.Seconds(), int(count.Load()), <-failed
}

func percentile(times []time.Duration, percent int) float64 {
	slices.Sort(times)
	return float64(times[(len(times)-1)*percent/100].Nanoseconds()) / 1000
}

func (r *Result) markdown() string {
	var table strings.Builder
	fmt.Fprintf(&table, "Go host %s, %s, %d CPUs; %d starts and %d calls of each plugin, taken in turns.\n\n",
		r.Upstream, r.Go, r.CPUs, r.Plugins[0].Starts, r.Plugins[0].Calls)
	row := func(what string, cell func(*Figures) string) {
		fmt.Fprintf(&table, "| %s |", what)
		for _, f := range r.Plugins {
			fmt.Fprintf(&table, " %s |", cell(f))
		}
		table.WriteByte('\n')
	}
	row("", func(f *Figures) string { return f.Name + " plugin" })
	row("---", func(*Figures) string { return "---:" })
	row("exec to Init, median", func(f *Figures) string { return fmt.Sprintf("%.1f ms", f.StartMedian/1000) })
	row("exec to Init, p99", func(f *Figures) string { return fmt.Sprintf("%.1f ms", f.StartP99/1000) })
	row("GrantAccess, p50", func(f *Figures) string { return fmt.Sprintf("%.0f µs", f.CallP50) })
	row("GrantAccess, p99", func(f *Figures) string { return fmt.Sprintf("%.0f µs", f.CallP99) })
	row(fmt.Sprintf("calls a second, %d callers", callers), func(f *Figures) string { return fmt.Sprintf("%.0f", f.CallsPerSecond) })
	row("resident after 40,000 calls", func(f *Figures) string { return mebibytes(int64(f.Resident40k) << 10) })
	if r.Plugins[0].Resident500k > 0 {
		row("resident after 500,000 calls", func(f *Figures) string { return mebibytes(int64(f.Resident500k) << 10) })
	}
	row("resident, most ever", func(f *Figures) string { return mebibytes(int64(f.ResidentPeak) << 10) })
	row("static binary, stripped", func(f *Figures) string { return mebibytes(f.BinarySize) })
	row("image `FROM scratch` with that file", func(f *Figures) string { return mebibytes(f.BinarySize) })
	return table.String()
}

func mebibytes(bytes int64) string {
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}
