package main

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// results are the rounds' values, by row and unit; the value of round n is at n.
type results struct {
	facts  map[string]string
	names  []string // in order of their first appearance
	rows   map[string]map[string][]float64
	rounds int // the discarded one not counted
}

var processors = regexp.MustCompile(`-\d+$`)

// parse reads the rounds, in the format of `go test -bench`, and discards the first.
func parse(in io.Reader) (*results, error) {
	r := &results{facts: map[string]string{}, rows: map[string]map[string][]float64{}}
	round := -1
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case len(fields) >= 3 && fields[0] == "fact":
			r.facts[fields[1]] = strings.Join(fields[2:], " ")
		case len(fields) == 2 && fields[0] == "round":
			round++
		case len(fields) >= 4 && strings.HasPrefix(fields[0], "Benchmark"):
			if err := r.add(round, fields); err != nil {
				return nil, fmt.Errorf("%q: %w", lines.Text(), err)
			}
		}
	}
	r.rounds = round
	if err := lines.Err(); err != nil {
		return nil, err
	}
	for name, units := range r.rows {
		for unit, values := range units {
			if len(values) != r.rounds {
				return nil, fmt.Errorf("%s has %d values of %s in %d rounds", name, len(values), unit, r.rounds)
			}
		}
	}
	return r, nil
}

func (r *results) add(round int, fields []string) error {
	name := processors.ReplaceAllString(strings.TrimPrefix(fields[0], "Benchmark"), "")
	name = strings.ReplaceAll(name, "_", " ")
	if r.rows[name] == nil {
		r.names = append(r.names, name)
		r.rows[name] = map[string][]float64{}
	}
	if round == 0 {
		return nil
	}
	for i := 2; i+1 < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return err
		}
		unit := fields[i+1]
		r.rows[name][unit] = append(r.rows[name][unit], value)
	}
	return nil
}

// under lists the rows below a prefix by the rest of their names.
func (r *results) under(prefix string) []string {
	var rest []string
	for _, name := range r.names {
		if after, ok := strings.CutPrefix(name, prefix); ok {
			rest = append(rest, after)
		}
	}
	return rest
}

// of returns the values of a row: none, if it was not run.
func (r *results) of(name, unit string) values { return r.rows[name][unit] }

type values []float64

func (v values) median() float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(v))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func (v values) low() float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	return slices.Min(v)
}

func (v values) high() float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	return slices.Max(v)
}

// with combines two rows round by round, so that what disturbs a whole round disturbs neither a ratio nor a difference.
func (v values) with(other values, combine func(a, b float64) float64) values {
	var out values
	for i := range min(len(v), len(other)) {
		out = append(out, combine(v[i], other[i]))
	}
	return out
}

func (v values) over(base values) values {
	return v.with(base, func(a, b float64) float64 { return a / b })
}

func (v values) minus(base values) values {
	return v.with(base, func(a, b float64) float64 { return a - b })
}

func (v values) each(fn func(float64) float64) values {
	out := make(values, 0, len(v))
	for _, x := range v {
		out = append(out, fn(x))
	}
	return out
}
