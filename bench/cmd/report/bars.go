package main

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/perf/benchmath"
)

// goal is something that the project wants of axle: a value that is no higher than its limit.
type goal struct {
	what     string
	want     string
	got      values
	most     float64
	below    bool // the limit itself is too much
	format   func(float64) string
	appended string // to what was measured
}

func (g goal) reaches(x float64) bool { return x < g.most || x == g.most && !g.below }

const (
	met     = "met"
	missed  = "**missed**"
	level   = "level, within the noise"
	unknown = "not measured"
	surely  = 0.95 // the confidence of the interval that a verdict is by
)

// verdict is by the interval in which the median lies, as benchstat has it.
func (g goal) verdict() string {
	if len(g.got) == 0 {
		return unknown
	}
	low, high := g.got.low(), g.got.high()
	if low != high {
		median := benchmath.AssumeNothing.Summary(benchmath.NewSample(slices.Clone(g.got), &benchmath.DefaultThresholds), surely)
		low, high = median.Lo, median.Hi
	}
	switch {
	case g.reaches(high):
		return met
	case !g.reaches(low):
		return missed
	}
	return level
}

func goals(r *results) []goal {
	var all []goal
	add := func(g goal) { all = append(all, g) }
	for _, method := range []string{"GET", "POST"} {
		ours, theirs := "Memory/"+method+"/axle", "Memory/"+method+"/resty v2"
		for _, unit := range []string{"allocs/op", "B/op"} {
			limit := r.of(theirs, unit).median()
			add(goal{
				what: method + " in memory, " + unit, want: "no more than resty v2: " + number(limit),
				got: values{r.of(ours, unit).median()}, most: limit, format: number,
			})
		}
		add(goal{
			what: method + " in memory, time", want: "no more than resty v2",
			got: r.of(ours, "ns/op").over(r.of(theirs, "ns/op")), most: 1, format: times, appended: " of resty v2",
		})
	}
	add(goal{
		what: "GET in memory, the aim", want: "40 allocations",
		got: values{r.of("Memory/GET/axle", "allocs/op").median()}, most: 40, format: number,
	})
	add(goal{
		what: "an interceptor pair, allocations", want: "0",
		got: values{perPair(r, "Memory/GET/", "axle", "allocs/op").median()}, most: 0, format: number,
	})
	add(goal{
		what: "an interceptor pair, time", want: "under 20 ns",
		got: perPair(r, "Memory/GET/", "axle", "ns/op"), most: 20, below: true, format: tenths,
	})
	add(goal{
		what: "attaching a token, allocations", want: "1 at most",
		got:  values{r.of("Attach/"+attachers[0].with, "allocs/op").minus(r.of("Attach/"+attachers[0].without, "allocs/op")).median()},
		most: 1, format: number,
	})
	for _, way := range []string{"one at a time", "a hundred at once"} {
		prefix := "Loopback/" + way + "/"
		add(goal{
			what: "loopback, " + way + ", time", want: "1.02 of resty v2 at most",
			got: r.of(prefix+"axle", "ns/op").over(r.of(prefix+"resty v2", "ns/op")), most: 1.02, format: times, appended: " of resty v2",
		})
	}
	add(goal{
		what: "the bridge over a socket, with handlers, allocations", want: "1.08 of http.Client at most",
		got:  r.of("Bridge/http.Client of axle, 10 pairs", "allocs/op").over(r.of("Bridge/http.Client", "allocs/op")),
		most: 1.08, format: times, appended: " of http.Client",
	})
	var refreshes, failures values
	scenarios(func(scenario, _, _ string) {
		refreshes = append(refreshes, r.of(stampedeRow(scenario, "axle"), "refreshes")...)
		failures = append(failures, r.of(stampedeRow(scenario, "axle"), "failures")...)
	})
	add(goal{what: "all six stampedes, every round, refreshes", want: "exactly 1", got: values{refreshes.high()}, most: 1, format: number})
	add(goal{what: "all six stampedes, every round, failed calls", want: "0", got: values{failures.high()}, most: 0, format: number})
	scenarios(func(scenario, life, arrival string) {
		ours, theirs := stampedeRow(scenario, "axle"), stampedeRow(scenario, "resty v2 + singleflight")
		add(goal{
			what: "stampede, tokens " + life + ", " + arrival + ", time", want: "no more than resty v2 + singleflight",
			got: r.of(ours, "wall-ns").over(r.of(theirs, "wall-ns")), most: 1, format: times, appended: " of it",
		})
	})
	for _, name := range r.under("Waiters/axle, ") {
		row := "Waiters/axle, " + name
		heap, of := r.of(row, "heap-B"), ""
		if floor := r.of("Waiters/net/http, "+name+", on a channel", "heap-B"); len(floor) > 0 {
			heap, of = heap.minus(floor), " beyond net/http's own"
		}
		add(goal{what: "10,000 " + name + ", refreshes", want: "exactly 1", got: values{r.of(row, "refreshes").high()}, most: 1, format: number})
		add(goal{
			what: "10,000 " + name + ", heap each" + of, want: "under 2 KB", got: values{heap.median()}, most: 2048, below: true,
			format: number, appended: " bytes",
		})
	}
	for _, way := range []string{"up", "down"} {
		for _, client := range []string{"axle", "http.Client of axle"} {
			prefix := "Stream/" + way + "/"
			add(goal{
				what: "64 MB " + way + ", " + client + ", time", want: "1.03 of net/http at most",
				got: r.of(prefix+client, "ns/op").over(r.of(prefix+"net/http", "ns/op")), most: 1.03, format: times, appended: " of net/http",
			})
			add(goal{
				what: "64 MB " + way + ", " + client + ", allocated", want: "flat: no more than 8 MB",
				got: values{r.of(prefix+client, "B/op").median()}, most: 8 << 20, format: mebibytes,
			})
		}
	}
	return all
}

func bars(p *page, r *results) {
	all := goals(r)
	verdicts := map[string]int{}
	var rows [][]string
	for _, g := range all {
		verdict := g.verdict()
		verdicts[verdict]++
		rows = append(rows, []string{g.what, g.want, spread(g.got, g.format) + g.appended, verdict})
	}
	p.say("## The bars")
	p.say(`
What the project asks of axle, and what this run measured: %s. A verdict on a time is by the interval in
which its median lies with a confidence of 95 %%, as in benchstat; "level" means that the bar itself lies in there.`, summary(len(all), verdicts))
	p.columns(" --- |", []string{"", "bar", "measured", ""}, rows)
}

func summary(all int, verdicts map[string]int) string {
	parts := []string{fmt.Sprintf("%d of %d bars are met", verdicts[met], all)}
	for _, other := range []struct{ verdict, words string }{
		{level, "level within the noise"}, {missed, "missed"}, {unknown, "not measured"},
	} {
		if n := verdicts[other.verdict]; n > 0 {
			parts = append(parts, fmt.Sprint(n, " ", other.words))
		}
	}
	return strings.Join(parts, ", ")
}

// charts are the pictures of the document, by file.
func charts(r *results) map[string]string {
	drawn := map[string]string{}
	rows := func(prefix string, names []string, unit string, of func(values) values) []bar {
		var out []bar
		for _, name := range names {
			v := r.of(prefix+name, unit)
			if of != nil {
				v = of(v)
			}
			if len(v) > 0 {
				out = append(out, bar{label: name, value: v})
			}
		}
		return out
	}
	const memory = "Memory/GET/"
	clients := []string{"net/http", "go-retryablehttp", "axle", "resty v2", "resty v3", "req v3"}
	drawn["memory-time.svg"] = chart("GET in memory: time over net/http", 1, times,
		rows(memory, clients, "ns/op", func(v values) values { return v.over(r.of(memory+"net/http", "ns/op")) }))
	drawn["memory-allocs.svg"] = chart("GET in memory: allocations", 0, number, rows(memory, clients, "allocs/op", nil))

	var perPairs []bar
	for _, c := range pairClients {
		if v := perPair(r, c.prefix+"GET/", c.name, "ns/op"); len(v) > 0 {
			perPairs = append(perPairs, bar{label: c.name, value: v})
		}
	}
	drawn["pairs.svg"] = chart("What an interceptor pair adds to a call", 0, tenths, perPairs)

	var socket []bar
	for _, way := range []string{"one at a time", "a hundred at once"} {
		prefix := "Loopback/" + way + "/"
		for _, b := range rows(prefix, clients, "ns/op", func(v values) values { return v.over(r.of(prefix+"net/http", "ns/op")) }) {
			b.label += ", " + way
			socket = append(socket, b)
		}
	}
	drawn["loopback.svg"] = chart("GET over loopback: time over net/http", 1, times, socket)

	var flow []bar
	for _, way := range []string{"up", "down"} {
		prefix := "Stream/" + way + "/"
		for _, b := range rows(prefix, r.under(prefix), "ns/op", throughput) {
			b.label += ", " + way
			flow = append(flow, b)
		}
	}
	drawn["stream.svg"] = chart("64 MB over loopback: MB per second", 0, megabytes, flow)

	var crowd []bar
	for _, client := range stampeders(r) {
		row := stampedeRow(lives[2]+"/"+arrivals[1], client)
		if v := r.of(row, "wall-ns"); len(v) > 0 {
			note := "ms; refreshes: " + spanned(r.of(row, "refreshes")) + ", failures: " + spanned(r.of(row, "failures"))
			crowd = append(crowd, bar{label: client, value: v, note: note})
		}
	}
	drawn["stampede.svg"] = chart("1,000 calls on a dead token, watched for re-use, some 401s late", 0, milliseconds, crowd)
	return drawn
}
