package main

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

const (
	handBegin = "<!-- hand-written: begin -->"
	handEnd   = "<!-- hand-written: end -->"
)

// handWritten is what stands between the markers, which a report keeps.
func handWritten(path string) (string, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the document that the caller names
	if errors.Is(err, fs.ErrNotExist) {
		return "\n## What was found and done\n\n", nil
	}
	if err != nil {
		return "", err
	}
	_, rest, begins := strings.Cut(string(text), handBegin)
	hand, _, ends := strings.Cut(rest, handEnd)
	if !begins || !ends {
		return "", fmt.Errorf("%s has no hand-written part between %q and %q, and would be lost", path, handBegin, handEnd)
	}
	return hand, nil
}

// write makes the document and its charts.
func write(r *results, hand, path string) error {
	folder := strings.TrimSuffix(path, filepath.Ext(path))
	if err := os.MkdirAll(folder, 0o750); err != nil {
		return err
	}
	drawn := charts(r)
	for _, name := range slices.Sorted(maps.Keys(drawn)) {
		if err := writeFile(filepath.Join(folder, name), drawn[name]); err != nil {
			return err
		}
	}
	return writeFile(path, document(r, hand, filepath.Base(folder)))
}

func writeFile(path, text string) error {
	return os.WriteFile(path, []byte(text), 0o644) //nolint:gosec // a document: all may read it
}

// page is a document that grows.
type page struct{ strings.Builder }

func (p *page) say(format string, args ...any) { fmt.Fprintf(&p.Builder, format+"\n", args...) }

// table has its first column on the left and the numbers on the right.
func (p *page) table(head []string, rows [][]string) { p.columns(" ---: |", head, rows) }

func (p *page) columns(align string, head []string, rows [][]string) {
	p.say("")
	p.say("| %s |", strings.Join(head, " | "))
	p.say("| --- |%s", strings.Repeat(align, len(head)-1))
	for _, row := range rows {
		p.say("| %s |", strings.Join(row, " | "))
	}
	p.say("")
}

func document(r *results, hand, folder string) string {
	p := &page{}
	p.say(`# Benchmarks

axle beside its peers: the same work, in the same run, on the same machine. This page is written by one command, which anyone can
run in some ten minutes:

` + "```sh\ncd bench && go run ./cmd/report\n```" + `

Only [what was found and done](#what-was-found-and-done) is written by hand. The benchmarks are ordinary ones
(` + "`go test -bench Memory .`" + ` in [bench](../bench)), and so are the tests beside them, which hold the counts that do not vary.
`)
	p.say("| machine | |")
	p.say("|---|---|")
	p.say("| processor | %s, %s cores |", r.facts["processor"], r.facts["cores"])
	p.say("| Go | %s |", r.facts["go"])
	p.say("| date | %s |", r.facts["date"])
	p.say("| rounds | %d, after one that was discarded; %s per timed row and round |", r.rounds, r.facts["time-per-row"])
	p.say("| load before | %s processes wanted to run in the minute before |", r.facts["load"])
	p.say("| noise | in half of the timed rows the slowest round took more than %.2f times as long as the fastest |", noise(r))
	p.say(`
Every round runs every row, in turn forwards and backwards. A number is the median of the rounds, and what stands in brackets
behind it the lowest and the highest. A ratio is taken within each round, and then its median: what disturbs a whole round does
not disturb it. Allocations and bytes are stable to a few percent; of the times, trust the ratios.
`)
	bars(p, r)
	p.say("%s%s%s\n", handBegin, hand, handEnd)
	inMemory(p, r, folder)
	pairs(p, r, folder)
	attach(p, r)
	loopback(p, r, folder)
	bridge(p, r)
	streams(p, r, folder)
	stampedes(p, r, folder)
	crowds(p, r)
	text := strings.TrimRight(p.String(), "\n") + "\n"
	return blankLines.ReplaceAllString(text, "\n\n")
}

var blankLines = regexp.MustCompile(`\n{3,}`)

// noise is how far a typical row's slowest round is from its fastest.
func noise(r *results) float64 {
	var spreads values
	for _, name := range r.names {
		if v := r.of(name, "ns/op"); len(v) > 0 && !strings.Contains(name, "Stampede") && !strings.Contains(name, "Waiters") {
			spreads = append(spreads, v.high()/v.low())
		}
	}
	return spreads.median()
}

func inMemory(p *page, r *results, folder string) {
	p.say("## In memory")
	p.say(`
A transport without sockets answers with 300 bytes of JSON, which are decoded into a struct; a POST sends as much. What remains is
what a client costs by itself.
`)
	p.say("![Time of a GET in memory, over net/http](%s/memory-time.svg)\n", folder)
	p.say("![Allocations of a GET in memory](%s/memory-allocs.svg)", folder)
	for _, method := range []string{"GET", "POST"} {
		p.say("\n### %s", method)
		prefix := "Memory/" + method + "/"
		var names []string
		for _, name := range r.under(prefix) {
			if !strings.Contains(name, "pair") {
				names = append(names, name)
			}
		}
		p.calls(r, prefix, names)
	}
	p.say(`The cookie jar is a default of axle, resty v2, resty v3 and req v3; net/http and go-retryablehttp have none by
default. req v3 has a time limit of two minutes by default too, which the row without a jar is without.
`)
}

// calls is the table of rows that are a call each, with ratios to net/http.
func (p *page) calls(r *results, prefix string, names []string) {
	base := r.of(prefix+"net/http", "ns/op")
	var rows [][]string
	for _, name := range names {
		ns := r.of(prefix+name, "ns/op")
		rows = append(rows, []string{
			name, spread(ns.over(base), times), spread(ns, duration),
			number(r.of(prefix+name, "allocs/op").median()), number(r.of(prefix+name, "B/op").median()),
		})
	}
	p.table([]string{"", "time over net/http", "time", "allocs/op", "B/op"}, rows)
}

var pairCounts = []string{"", ", 1 pair", ", 10 pairs", ", 100 pairs", ", 1000 pairs"}

// perPair is what one of a thousand pairs adds.
func perPair(r *results, prefix, client, unit string) values {
	thousand := r.of(prefix+client+", 1000 pairs", unit)
	return thousand.minus(r.of(prefix+client, unit)).each(func(x float64) float64 { return x / 1000 })
}

func pairs(p *page, r *results, folder string) {
	p.say("## Interceptor pairs")
	p.say(`
The same calls with pairs of interceptors that pass on what comes: a request handler and a response handler each, of axle, resty and
req (a request and a response middleware) and axios. "A pair" is the difference between a thousand and none, divided by a thousand.
`)
	p.say("![What an interceptor pair adds to a GET](%s/pairs.svg)", folder)
	var rows [][]string
	for _, method := range []string{"GET", "POST"} {
		for _, c := range pairClients {
			row := []string{method + ", " + c.name}
			prefix := c.prefix + method + "/"
			for _, count := range pairCounts {
				row = append(row, duration(r.of(prefix+c.name+count, "ns/op").median()))
			}
			per := perPair(r, prefix, c.name, "ns/op")
			if len(per) == 0 {
				continue
			}
			allocs := "–"
			if a := perPair(r, prefix, c.name, "allocs/op"); len(a) > 0 {
				allocs = number(a.median())
			}
			rows = append(rows, append(row, spread(per, nanoseconds), allocs))
		}
	}
	p.table([]string{"", "0", "1", "10", "100", "1000", "a pair", "allocs a pair"}, rows)
	if r.facts["axios"] != "true" {
		p.say("axios is missing: Node was not installed.\n")
	} else {
		p.say("axios runs on Node, with an adapter that answers in memory; its own time and Go's are two languages', the cost of a pair is the library's.\n")
	}
}

var pairClients = []struct{ name, prefix string }{
	{"axle", "Memory/"}, {"resty v2", "Memory/"}, {"resty v3", "Memory/"}, {"req v3", "Memory/"}, {"axios", "Axios/"},
}

var attachers = []struct{ without, with string }{
	{"axle, without", "axle, auth interceptor"},
	{"http.Client, without", "http.Client, oauth2.Transport"},
	{"resty v2, without", "resty v2, SetAuthToken"},
}

func attach(p *page, r *results) {
	p.say("## A token on each call")
	p.say("\nThe GET in memory, with a bearer token attached and nothing expiring, beside the same call without.")
	var rows [][]string
	for _, a := range attachers {
		of := func(unit string) values { return r.of("Attach/"+a.with, unit).minus(r.of("Attach/"+a.without, unit)) }
		rows = append(rows, []string{
			a.with, spread(of("ns/op"), nanoseconds), signed(of("allocs/op").median()), signed(of("B/op").median()),
		})
	}
	p.table([]string{"", "adds", "allocs/op", "B/op"}, rows)
}

func loopback(p *page, r *results, folder string) {
	p.say("## Loopback")
	p.say(`
The GET over a socket of the machine, and a hundred callers at once. The server runs in the same process: its time and its
allocations are in every row, so that the differences count and not the sums.
`)
	p.say("![Time of a GET over loopback, over net/http](%s/loopback.svg)", folder)
	for _, way := range []string{"one at a time", "a hundred at once"} {
		p.say("\n### %s", strings.ToUpper(way[:1])+way[1:])
		p.calls(r, "Loopback/"+way+"/", r.under("Loopback/"+way+"/"))
	}
}

func bridge(p *page, r *results) {
	p.say("## The bridge")
	p.say("\nA GET over loopback by an `http.Client`, over the transport itself and over axle's chains (`HTTPClient()`), without cookie jars. The server's allocations are counted.")
	const prefix = "Bridge/"
	base := r.of(prefix+"http.Client", "ns/op")
	allocs := r.of(prefix+"http.Client", "allocs/op")
	var rows [][]string
	for _, name := range r.under(prefix) {
		ns := r.of(prefix+name, "ns/op")
		a := r.of(prefix+name, "allocs/op")
		rows = append(rows, []string{
			name, spread(ns.over(base), times), spread(ns, duration),
			number(a.median()), times(a.over(allocs).median()), number(r.of(prefix+name, "B/op").median()),
		})
	}
	p.table([]string{"", "time over http.Client", "time", "allocs/op", "over http.Client", "B/op"}, rows)
}

func streams(p *page, r *results, folder string) {
	p.say("## 64 MB, streamed")
	p.say(`
Up from a reader that can only be read, and down into a buffer of 64 KB, over loopback. The server's buffers are counted in all
rows. An upload by axle keeps up to 1 MB (` + "`axle.ReplayLimit`" + `) for a replay, however long it is; with what growing it left behind
that is 5 MB.
`)
	p.say("![Throughput of 64 MB](%s/stream.svg)", folder)
	var rows [][]string
	for _, way := range []string{"up", "down"} {
		prefix := "Stream/" + way + "/"
		base := r.of(prefix+"net/http", "ns/op")
		for _, name := range r.under(prefix) {
			ns := r.of(prefix+name, "ns/op")
			rows = append(rows, []string{
				way + ", " + name, spread(ns.over(base), times), spread(throughput(ns), megabytes),
				mebibytes(r.of(prefix+name, "B/op").median()), mebibytes(r.of(prefix+name, "peak-B").median()),
			})
		}
	}
	p.table([]string{"", "time over net/http", "MB/s", "allocated", "the heap grew by"}, rows)
}

func throughput(ns values) values {
	return ns.each(func(x float64) float64 { return 64 * 1.048576 / (x / 1e9) })
}

var (
	lives    = []string{"stay valid", "rotate", "watched for re-use"}
	arrivals = []string{"all 401s at once", "some 401s late"}
)

func scenarios(do func(scenario, life, arrival string)) {
	for _, arrival := range arrivals {
		for _, life := range lives {
			do(life+"/"+arrival, life, arrival)
		}
	}
}

// stampedeRow finds a client's row: axios's are its own benchmark's.
func stampedeRow(scenario, client string) string {
	if strings.HasPrefix(client, "axios") {
		return "Axios/Stampede/" + scenario + "/" + client
	}
	return "Stampede/" + scenario + "/" + client
}

func stampeders(r *results) []string {
	first := lives[0] + "/" + arrivals[0] + "/"
	return append(r.under("Stampede/"+first), r.under("Axios/Stampede/"+first)...)
}

func stampedes(p *page, r *results, folder string) {
	p.say("## Stampedes")
	p.say(`
A thousand calls at once, over loopback sockets that are open already, on an access token that is dead. All of them
have come before the first is answered with its 401, so that each stands on the dead token; "some late" means that each tenth
401 leaves 50 to 200 ms after the others. A refresh takes 5 ms. Tokens that **stay valid** can be refreshed by again and again; those that **rotate** are good
for one refresh, which also ends the access token before; where they are **watched for re-use**, a refresh token that comes
twice revokes the session.

Refreshes asked for / failed calls, from round to round:
`)
	head := []string{""}
	scenarios(func(_, life, arrival string) {
		if arrival == arrivals[1] {
			life += ", late"
		}
		head = append(head, life)
	})
	var counts, walls [][]string
	for _, client := range stampeders(r) {
		count, wall := []string{client}, []string{client}
		scenarios(func(scenario, _, _ string) {
			row := stampedeRow(scenario, client)
			text := spanned(r.of(row, "refreshes")) + " / " + spanned(r.of(row, "failures"))
			if revoked := r.of(row, "revoked"); revoked.high() > 0 {
				text += ", revoked"
			}
			count = append(count, text)
			wall = append(wall, spread(r.of(row, "wall-ns"), milliseconds))
		})
		counts, walls = append(counts, count), append(walls, wall)
	}
	p.table(head, counts)
	p.say("Milliseconds until the last of them had its answer (a client that fails them all is soon done):\n")
	p.say("![Time of a stampede](%s/stampede.svg)", folder)
	p.table(head, walls)
	p.say(`How each client is set up is in [stampede_test.go](../bench/stampede_test.go) and [bench.mjs](../bench/axios/bench.mjs). resty
retries a 401 once, after a millisecond; singleflight shares the refreshes that overlap, but cannot know that a 401 that comes later
is about a token that has been replaced.
`)
}

func crowds(p *page, r *results) {
	p.say("## Ten thousand waiters")
	p.say(`
Ten thousand calls in memory that wait for one refresh. The heap is what waiting holds per call, the stack how far each goroutine's
grew from one that waits for a channel; both after a collection. The third row is the least that a call can hold that waits with
its 401: net/http's own request and response.
`)
	var rows [][]string
	for _, name := range r.under("Waiters/") {
		of := func(unit string) values { return r.of("Waiters/"+name, unit) }
		rows = append(rows, []string{
			name, spanned(of("refreshes")), spanned(of("failures")), number(of("heap-B").median()), number(of("stack-B").median()),
			spread(of("wall-ns"), milliseconds),
		})
	}
	p.table([]string{"", "refreshes", "failures", "heap, bytes each", "stack, bytes each", "refreshed to done, ms"}, rows)
}
