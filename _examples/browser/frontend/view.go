//go:build js

package main

import (
	"fmt"
	"strconv"
	"strings"
	"syscall/js"
	"time"

	"github.com/axlehttp/axle"
)

// view is the part of the page that shows the calls of a run. Its methods are called by one goroutine
// at a time.
//
// The style sheet draws the bars. Each piece of a bar says from when to when it goes, in milliseconds
// of the run, and the clock of the run is an animation of the browser. So a call costs the program no
// more than its few changes of state.
type view struct {
	page  page
	clock js.Value       // the animation; undefined while no call is running
	shown map[string]int // the counts, by the names of their elements
}

func newView(p page) view { return view{page: p, shown: map[string]int{}} }

// summary is what a run has come to so far.
type summary struct {
	running int // the calls and refreshes that have not ended
	took    time.Duration

	onNetwork int // the calls and refreshes that are sent at the moment
	calls     int
	states    map[state]int
	held      int // the calls that wait for the refresh and were not sent yet
	refused   int // the calls that got a 401
	replays   int
	refreshes int
}

// labels are the names of the states for people.
var labels = map[state]string{
	queued:   "queued",
	sent:     "sent",
	refused:  "401",
	waiting:  "waiting",
	replayed: "replayed",
	done:     "done",
	failed:   "failed",
}

// showChains shows the names of the interceptors of a client in the order in which they run. The
// network stands at the end of the request chain and at the beginning of the response chain.
func (v *view) showChains(client *axle.Client) {
	requests := strings.Split(client.Interceptors.Request.String(), " -> ")
	responses := strings.Split(client.Interceptors.Response.String(), " -> ")
	v.showChain("request", append(requests, "network"))
	v.showChain("response", append([]string{"network"}, responses...))
}

func (v *view) showChain(chain string, names []string) {
	var links []any
	for _, name := range names {
		count := v.page.create("b", "")
		count.Set("id", chain+"-"+name)
		link := v.page.create("li", name)
		link.Call("append", count)
		links = append(links, link)
	}
	v.page.replace(chain+"-chain", links...)
}

// clear begins a new list of calls.
func (v *view) clear(title string) {
	v.page.say("title", title)
	v.page.replace("calls")
	v.page.say("refresh", "")
	v.page.say("summary", "")
}

// show shows the counts, and how many calls are at each place of the chains.
func (v *view) show(s summary) {
	for one := range labels {
		v.count("count-"+string(one), s.states[one])
	}
	v.count("count-refused", s.refused)

	v.count("request-auth", s.held)
	v.count("request-network", s.onNetwork)
	v.count("response-auth", s.states[waiting]-s.held)
	v.count("waiting-count", s.states[waiting])

	switch {
	case s.running == 0 && s.calls > 0:
		v.page.say("summary", strings.Join([]string{
			counted(s.calls, "call", "calls"),
			counted(s.refreshes, "refresh", "refreshes"),
			counted(s.replays, "replay", "replays"),
			fmt.Sprint(s.states[failed], " failed"),
			seconds(s.took),
		}, ", "))
		v.stopClock(s.took)
	case s.running > 0:
		v.startClock(s.took)
	}
}

// count shows a number. The style sheet shows a zero less. Most numbers are shown already.
func (v *view) count(id string, n int) {
	if shown, ok := v.shown[id]; ok && shown == n {
		return
	}
	v.shown[id] = n
	element := v.page.element(id)
	element.Set("textContent", n)
	element.Get("dataset").Set("zero", n == 0)
}

func (v *view) startClock(took time.Duration) {
	if !v.clock.IsUndefined() {
		return
	}
	const hour = int(time.Hour / time.Millisecond)
	ticks := []any{map[string]any{"--now": 0}, map[string]any{"--now": hour}}
	v.clock = v.page.element("calls").Call("animate", ticks, hour)
	v.clock.Set("currentTime", took.Milliseconds())
}

func (v *view) stopClock(took time.Duration) {
	if v.clock.IsUndefined() {
		return
	}
	v.page.element("calls").Get("style").Call("setProperty", "--now", took.Milliseconds())
	v.clock.Call("cancel")
	v.clock = js.Undefined()
}

// refreshBegins and refreshEnds show a refresh of the session.
func (v *view) refreshBegins() {
	v.page.say("refresh", "The refresh is under way.")
	v.page.element("waiting-panel").Get("dataset").Set("refreshing", true)
}

func (v *view) refreshEnds(took time.Duration, err error) {
	text := "The refresh took " + seconds(took) + "."
	if err != nil {
		text = "The refresh failed: " + reason(err)
	}
	v.page.say("refresh", text)
	v.page.element("waiting-panel").Get("dataset").Delete("refreshing")
}

// row is one call in the list of calls, and its place among those that wait.
type row struct {
	page              page
	item, bar, status js.Value
	piece             js.Value // the last piece of the bar; undefined: there is none
	waiting           js.Value
}

func (v *view) newRow(number int, what string, isRefresh bool) row {
	p, name := v.page, strconv.Itoa(number)
	r := row{
		page: p, item: p.create("li", ""), waiting: p.create("li", name),
		bar: p.create("span", ""), status: p.create("span", ""),
	}
	r.waiting.Set("title", what)
	r.bar.Set("className", "bar")
	r.status.Set("className", "status")
	if isRefresh {
		name = "↻"
		r.item.Get("dataset").Set("refresh", true)
	}
	r.item.Call("append", p.create("small", name), p.create("code", what), r.bar, r.status)
	p.element("calls").Call("append", r.item)
	return r
}

// enter begins the next piece of the bar, at a time of the run.
func (r *row) enter(next state, at time.Duration) {
	now := at.Milliseconds()
	if !r.piece.IsUndefined() {
		r.piece.Get("style").Call("setProperty", "--to", now)
	}
	r.piece = r.page.create("i", "")
	r.piece.Get("dataset").Set("state", string(next))
	r.piece.Get("style").Call("setProperty", "--from", now)
	r.bar.Call("append", r.piece)

	r.item.Get("dataset").Set("state", string(next))
	r.status.Set("textContent", labels[next])

	if next == waiting {
		r.page.element("waiting").Call("append", r.waiting)
	} else {
		r.waiting.Call("remove")
	}
}

// explain says more of the state that a call has ended in.
func (r *row) explain(text, details string) {
	r.status.Set("textContent", text)
	r.item.Set("title", details)
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", many)
}

func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d\u00a0ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.2f\u00a0s", d.Seconds())
}
