// Command mutate measures how much a package's tests notice: it changes the code in one small way at a time, runs the
// tests, and lists the changes that no test noticed.
//
//	go -C tools run ./mutate ../interceptors/auth
//	go -C tools run ./mutate -files call.go,url.go -tests ./,./test/... ..
//
// A change that does not compile is not counted. A change in code that no test reaches counts as unnoticed. The working
// tree is not written to: each change reaches the compiler through an overlay (go help build).
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

type options struct {
	folder  string
	files   []string
	tests   []string
	limit   time.Duration
	workers int
	every   int
	verbose bool
}

// A verdict says what became of one mutant.
type verdict int

const (
	noticed verdict = iota
	unnoticed
	unreached
	uncompiled
)

func main() {
	log.SetFlags(0)

	var o options
	files := flag.String("files", "", "comma-separated file names of the folder; empty: every file that is no test")
	tests := flag.String("tests", ".", "comma-separated package patterns to test, relative to the folder, in this order")
	flag.DurationVar(&o.limit, "timeout", time.Minute, "time limit of one test run; a run that exceeds it has noticed")
	flag.IntVar(&o.workers, "workers", 2, "test runs at a time")
	flag.IntVar(&o.every, "every", 1, "take only every nth change: a sample for a large file")
	flag.BoolVar(&o.verbose, "v", false, "print each verdict as it comes")
	flag.Parse()
	if flag.NArg() != 1 {
		log.Fatal("usage: mutate [flags] FOLDER")
	}

	folder, err := filepath.Abs(flag.Arg(0))
	if err != nil {
		log.Fatal(err)
	}
	o.folder, o.tests = folder, strings.Split(*tests, ",")
	if *files != "" {
		o.files = strings.Split(*files, ",")
	}

	if err := run(o); err != nil {
		log.Fatal(err)
	}
}

func run(o options) error {
	mutants, err := o.mutants()
	if err != nil {
		return err
	}
	blocks, err := o.coverage()
	if err != nil {
		return err
	}

	verdicts := make([]verdict, len(mutants))
	jobs := make(chan int)
	var group sync.WaitGroup
	for range o.workers {
		group.Go(func() {
			for i := range jobs {
				verdicts[i] = o.judge(mutants[i], blocks[mutants[i].file])
				if o.verbose {
					fmt.Printf("%-10s %s\n", verdicts[i], mutants[i])
				}
			}
		})
	}
	for i := range mutants {
		jobs <- i
	}
	close(jobs)
	group.Wait()

	report(mutants, verdicts)
	return nil
}

// mutants reads the files and lists every change that is to be tried.
func (o options) mutants() ([]mutant, error) {
	names := o.files
	if len(names) == 0 {
		all, err := filepath.Glob(filepath.Join(o.folder, "*.go"))
		if err != nil {
			return nil, err
		}
		for _, path := range all {
			if name := filepath.Base(path); !strings.HasSuffix(name, "_test.go") && name != "doc.go" {
				names = append(names, name)
			}
		}
	}

	var all []mutant
	for _, name := range names {
		source, err := os.ReadFile(filepath.Join(o.folder, name))
		if err != nil {
			return nil, err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		all = append(all, find(fset, file, name, source)...)
	}

	var taken []mutant
	for i, m := range all {
		if i%max(o.every, 1) == 0 {
			taken = append(taken, m)
		}
	}
	return taken, nil
}

// judge runs the tests on one mutant.
func (o options) judge(m mutant, blocks []block) verdict {
	if isUnreached(blocks, m.line, m.column) {
		return unreached
	}

	temp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(temp) }()
	changed, overlay := filepath.Join(temp, m.file), filepath.Join(temp, "overlay.json")
	replace := map[string]map[string]string{"Replace": {filepath.Join(o.folder, m.file): changed}}
	list, err := json.Marshal(replace)
	if err == nil {
		err = os.WriteFile(changed, m.source, 0o600)
	}
	if err == nil {
		err = os.WriteFile(overlay, list, 0o600)
	}
	if err != nil {
		log.Fatal(err)
	}

	// One pattern after another: the nearest tests are the quickest to notice.
	for _, pattern := range o.tests {
		output, err := o.test(pattern, "-overlay", overlay, "-failfast")
		switch {
		case err == nil:
		case bytes.Contains(output, []byte("[build failed]")), bytes.Contains(output, []byte("[setup failed]")):
			return uncompiled
		default:
			return noticed
		}
	}
	return unnoticed
}

// test runs go test in the folder and returns what it printed.
func (o options) test(pattern string, flags ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), o.limit+time.Minute) // beyond -timeout: the build's share
	defer cancel()
	args := slices.Concat([]string{"test", "-count=1", "-vet=off", "-timeout=" + o.limit.String()}, flags, []string{pattern})
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the flags are those of whoever runs this tool
	cmd.Dir = o.folder
	return cmd.CombinedOutput()
}

func report(mutants []mutant, verdicts []verdict) {
	type score struct{ noticed, all int }
	scores := map[string]*score{}
	var names []string
	for i, m := range mutants {
		s := scores[m.file]
		if s == nil {
			s = &score{}
			scores[m.file] = s
			names = append(names, m.file)
		}
		switch verdicts[i] {
		case noticed:
			s.noticed++
			s.all++
		case unnoticed, unreached:
			s.all++
			fmt.Printf("%-10s %s\n", verdicts[i], m)
		}
	}

	var total score
	for _, name := range names {
		s := scores[name]
		total.noticed += s.noticed
		total.all += s.all
		fmt.Printf("%-24s %4d of %4d noticed, %3.0f %%\n", name, s.noticed, s.all, percent(s.noticed, s.all))
	}
	fmt.Printf("%-24s %4d of %4d noticed, %3.0f %%\n", "all", total.noticed, total.all, percent(total.noticed, total.all))
}

func percent(part, whole int) float64 {
	if whole == 0 {
		return 100
	}
	return 100 * float64(part) / float64(whole)
}

func (v verdict) String() string {
	return [...]string{"noticed", "UNNOTICED", "UNREACHED", "uncompiled"}[v]
}
