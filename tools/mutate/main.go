// Command mutate measures how much a package's tests notice: it changes the code in one small way at a time, runs the
// tests, and lists the changes that no test noticed.
//
//	go -C tools run ./mutate -v ../interceptors/auth
//	go -C tools run ./mutate -v -files join.go,escape.go -tests .,../.. ../internal/wire
//
// All changes are compiled together, each behind a guard that an environment variable opens. Each change is then run with
// those tests alone that come to it. A change that no test comes to counts as unnoticed. The working tree is not written to:
// the changed source reaches the compiler through an overlay (go help build).
package main

import (
	"flag"
	"fmt"
	"go/parser"
	"go/token"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

type options struct {
	folder, packageName string
	files               []string
	tests               []string
	limit               time.Duration
	workers             int
	every               int
	verbose             bool
}

// A verdict says what became of one mutant.
type verdict int

const (
	noticed verdict = iota
	unnoticed
	unreached
)

func main() {
	log.SetFlags(0)

	var o options
	files := flag.String("files", "", "comma-separated file names of the folder; empty: every file that is no test")
	tests := flag.String("tests", ".", "comma-separated folders whose tests are run, relative to FOLDER, in this order")
	flag.DurationVar(&o.limit, "timeout", time.Minute, "time limit of one test run; a run that exceeds it has noticed")
	flag.IntVar(&o.workers, "workers", 1, "test runs at a time")
	flag.IntVar(&o.every, "every", 1, "take only every nth change: a sample for a large file")
	flag.BoolVar(&o.verbose, "v", false, "print each verdict as it comes, and the test that noticed")
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

	if err := o.run(); err != nil {
		log.Fatal(err)
	}
}

func (o options) run() error {
	temp, err := os.MkdirTemp("", "mutate")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temp) }()

	sources, mutants, err := o.read()
	if err != nil {
		return err
	}
	binaries, err := o.compile(temp, sources, mutants)
	if err != nil {
		return err
	}
	for _, b := range binaries {
		if err := b.findReach(o, temp); err != nil {
			return err
		}
	}

	verdicts := make([]verdict, len(mutants))
	jobs := make(chan int)
	var group sync.WaitGroup
	for range o.workers {
		group.Go(func() {
			for i := range jobs {
				var by string
				verdicts[i], by = o.judge(mutants[i], binaries)
				if o.verbose {
					fmt.Printf("%-10s %s\t%s\n", verdicts[i], mutants[i], by)
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

// read reads the files and numbers every change that is to be tried.
func (o *options) read() (sources map[string][]byte, mutants []mutant, err error) {
	names := o.files
	if len(names) == 0 {
		all, err := filepath.Glob(filepath.Join(o.folder, "*.go"))
		if err != nil {
			return nil, nil, err
		}
		for _, path := range all {
			if name := filepath.Base(path); !strings.HasSuffix(name, "_test.go") && name != "doc.go" {
				names = append(names, name)
			}
		}
	}

	sources = map[string][]byte{}
	count := 0
	for _, name := range names {
		source, err := os.ReadFile(filepath.Join(o.folder, name)) //nolint:gosec // named by whoever runs this tool
		if err != nil {
			return nil, nil, err
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, name, source, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}

		o.packageName, sources[name] = file.Name.Name, source
		for _, m := range find(fset, file, name, source) {
			if count%max(o.every, 1) == 0 {
				m.id = len(mutants) + 1
				mutants = append(mutants, m)
			}
			count++
		}
	}
	return sources, mutants, nil
}

// judge runs the tests on one mutant. It returns the test that noticed, if one did.
func (o options) judge(m mutant, binaries []*binary) (verdict, string) {
	found := unreached
	for _, b := range binaries {
		if len(b.reached[m.id]) == 0 {
			continue
		}
		found = unnoticed
		if by, ok := b.notices(o, m); ok {
			return noticed, by
		}
	}
	return found, ""
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
	return [...]string{"noticed", "UNNOTICED", "UNREACHED"}[v]
}
