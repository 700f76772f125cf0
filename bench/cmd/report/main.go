// Command report runs every benchmark of this module, and axios on Node where that is installed, in interleaved rounds, and writes
// what they measured into docs/benchmarks.md and the charts beside it. It is run in the folder of the module:
//
//	go run ./cmd/report
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds    int
	benchtime time.Duration
	out       string
	save      string
	from      string
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("report", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 14, "rounds, the first of which is a warm-up and discarded")
	flags.DurationVar(&o.benchtime, "benchtime", 100*time.Millisecond, "how long each timed row runs in a round")
	flags.StringVar(&o.out, "out", "../docs/benchmarks.md", "the document; its charts go into a folder of the same name")
	flags.StringVar(&o.save, "save", "", "a file to keep the rounds in as they were printed")
	flags.StringVar(&o.from, "from", "", "such a file, to be written up again: nothing is run")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	hand, err := handWritten(o.out) // first: a document that cannot be written is not worth eight minutes
	if err != nil {
		return err
	}
	var raw []byte
	if o.from != "" {
		raw, err = os.ReadFile(o.from)
	} else if o.rounds < 2 {
		err = errors.New("a report needs two rounds: the first is discarded")
	} else {
		raw, err = measure(ctx, o)
	}
	if err != nil {
		return err
	}
	if o.save != "" {
		if err := os.WriteFile(o.save, raw, 0o600); err != nil { //nolint:gosec // the file that the user names
			return err
		}
	}
	r, err := parse(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	return write(r, hand, o.out)
}

// groups are run one after the other in each round, each in a process of its own, so that none inherits another's heap.
var groups = []struct {
	bench string
	time  string // empty: the option's
	twice bool   // as long as the option says
}{
	{bench: "^BenchmarkMemory$"},
	{bench: "^BenchmarkAttach$"},
	{bench: "^BenchmarkBridge$"},
	{bench: "^BenchmarkLoopback$", twice: true}, // the server shares the cores,
	{bench: "^BenchmarkStream$", time: "16x"},
	{bench: "^BenchmarkStampede$", time: "3x"},
	{bench: "^BenchmarkWaiters$", time: "1x"},
}

// measure runs the rounds and returns what they printed, behind the facts of the machine.
func measure(ctx context.Context, o options) ([]byte, error) {
	folder, err := os.MkdirTemp("", "axle-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	binary := filepath.Join(folder, "bench.test")
	build := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, ".") //nolint:gosec // the folder that was just made
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("building the benchmarks: %w", err)
	}
	axios := hasAxios(ctx)
	var raw bytes.Buffer
	fmt.Fprintf(&raw, "fact axios %v\nfact time-per-row %v\n", axios, o.benchtime)
	for name, value := range facts() {
		fmt.Fprintf(&raw, "fact %s %s\n", name, value)
	}
	began := time.Now()
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d, %v so far\n", round+1, o.rounds, time.Since(began).Round(time.Second))
		fmt.Fprintf(&raw, "round %d\n", round)
		for _, g := range groups {
			benchtime := g.time
			switch {
			case benchtime == "" && g.twice:
				benchtime = (2 * o.benchtime).String()
			case benchtime == "":
				benchtime = o.benchtime.String()
			}
			cmd := exec.CommandContext(ctx, binary, "-test.run=^$", "-test.bench="+g.bench, "-test.benchtime="+benchtime) //nolint:gosec // built above
			if round%2 == 1 {
				cmd.Env = append(os.Environ(), "AXLE_BENCH_REVERSED=1")
			}
			if err := collect(cmd, &raw); err != nil {
				return nil, fmt.Errorf("%s: %w", g.bench, err)
			}
		}
		if axios {
			if err := collect(exec.CommandContext(ctx, "node", "axios/bench.mjs"), &raw); err != nil {
				return nil, fmt.Errorf("axios: %w", err)
			}
		}
	}
	return raw.Bytes(), nil
}

func collect(cmd *exec.Cmd, raw *bytes.Buffer) error {
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Benchmark") {
			raw.WriteString(line)
		}
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}

// hasAxios installs axios at the version of the lock file, if there is Node to run it.
func hasAxios(ctx context.Context) bool {
	if _, err := exec.LookPath("node"); err != nil {
		fmt.Fprintln(os.Stderr, "node is not installed: no rows of axios")
		return false
	}
	if _, err := os.Stat("axios/node_modules/axios"); err == nil {
		return true
	}
	install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
	install.Dir = "axios"
	if out, err := install.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "npm ci failed: no rows of axios\n%s", out)
		return false
	}
	return true
}

func facts() map[string]string {
	return map[string]string{
		"processor": processor(),
		"cores":     fmt.Sprint(runtime.NumCPU()),
		"go":        strings.TrimPrefix(runtime.Version(), "go") + " " + runtime.GOOS + "/" + runtime.GOARCH,
		"date":      time.Now().UTC().Format(time.DateOnly),
		"load":      load(),
	}
}

func processor() string {
	text, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return "unknown"
	}
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown"
}

// load is how many processes wanted to run in the minute before: others' on a machine that is shared.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(text), " ")
	return one
}
