package bench

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/hosting"
)

const (
	soakSamples = 20
	// How much the plugin's memory may grow after the first tenth of the calls.
	soakGrowthKiB = 512
)

// A Sample is the plugin's memory after a number of calls.
type Sample struct {
	Calls       int     `json:"calls"`
	ResidentKiB int     `json:"residentKiB"`
	PeakKiB     int     `json:"peakKiB"`
	Seconds     float64 `json:"seconds"`
}

// Soak runs the soak command: very many calls by 16 callers, and the plugin's memory must stay flat.
func Soak(version string, arguments []string) error {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	path := flags.String("plugin", "", "the plugin")
	calls := flags.Int("calls", 1_000_000, "how many calls to make")
	growth := flags.Int("growth", soakGrowthKiB, "how many KiB the memory may grow after the first tenth of the calls")
	output := flags.String("json", "", "write the samples to this file as well")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *path == "" {
		return errors.New("`-plugin` must name the plugin")
	}
	started, err := start(*path)
	if err != nil {
		return err
	}
	defer started.Client.Kill()
	begin := time.Now()
	var samples []Sample
	for made := 0; made < *calls; {
		portion := min((*calls+soakSamples-1)/soakSamples, *calls-made)
		if err := callTogether(started, portion); err != nil {
			return fmt.Errorf("after %d calls: %w", made, err)
		}
		made += portion
		now, peak, err := hosting.ResidentKiB(started.Pid())
		if err != nil {
			return err
		}
		samples = append(samples, Sample{made, now, peak, time.Since(begin).Seconds()})
		fmt.Printf("soak %s: %8d calls, %6d KiB resident, %6d KiB at most, %.0f s\n", version, made, now, peak, time.Since(begin).Seconds())
	}
	if *output != "" {
		text, err := json.MarshalIndent(samples, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(*output, append(text, '\n'), 0o644); err != nil {
			return err
		}
	}
	if grown := samples[len(samples)-1].ResidentKiB - samples[soakSamples/10-1].ResidentKiB; grown > *growth {
		return fmt.Errorf("the memory must be flat, but grew by %d KiB", grown)
	}
	return nil
}

func callTogether(started *hosting.Plugin, calls int) error {
	var group sync.WaitGroup
	var taken atomic.Int64
	failed := make(chan error, callers)
	for range callers {
		group.Go(func() {
			for r := representative(); taken.Add(1) <= int64(calls); {
				if err := ask(started, r); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(failed)
	return <-failed
}
