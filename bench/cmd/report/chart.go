package main

import (
	"fmt"
	"html"
	"strings"
)

// bar is one bar of a chart: a median, with a whisker from the lowest round to the highest.
type bar struct {
	label string
	value values
	note  string // behind the number
}

// chart draws horizontal bars. Those of axle stand out; a line marks where, say, net/http is.
func chart(title string, mark float64, format func(float64) string, bars []bar) string {
	const (
		left, right, width = 250, 250, 860
		top, step, thick   = 46, 28, 18
		plot               = width - left - right
		whisker            = 4
		letter, small      = "system-ui, sans-serif", 12
	)
	highest := mark
	for _, b := range bars {
		highest = max(highest, min(b.value.high(), 2*b.value.median()))
	}
	x := func(v float64) float64 { return left + plot*min(v, highest)/highest }
	height := top + step*len(bars) + 12

	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="%s" font-size="%d" role="img">`+"\n",
		width, height, width, height, letter, small)
	fmt.Fprintf(&s, "<title>%s</title>\n", html.EscapeString(title))
	s.WriteString(`<style>
  .back { fill: #ffffff } .ink { fill: #1f2328 } .peer { fill: #9aa7b4 } .axle { fill: #1f6feb } .line { stroke: #57606a }
  @media (prefers-color-scheme: dark) {
    .back { fill: #0d1117 } .ink { fill: #e6edf3 } .peer { fill: #57606a } .axle { fill: #388bfd } .line { stroke: #9aa7b4 }
  }
</style>
`)
	fmt.Fprintf(&s, `<rect class="back" width="%d" height="%d" rx="6"/>`+"\n", width, height)
	fmt.Fprintf(&s, `<text class="ink" x="16" y="26" font-size="14" font-weight="600">%s</text>`+"\n", html.EscapeString(title))
	for i, b := range bars {
		y := top + step*i
		middle := float64(y) + thick/2
		class := "peer"
		if strings.HasPrefix(b.label, "axle") || strings.Contains(b.label, "of axle") {
			class = "axle"
		}
		fmt.Fprintf(&s, `<text class="ink" x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n", left-10, middle+4, html.EscapeString(b.label))
		fmt.Fprintf(&s, `<rect class="%s" x="%d" y="%d" width="%.1f" height="%d" rx="2"/>`+"\n",
			class, left, y, max(1, x(b.value.median())-left), thick)
		end := x(b.value.median())
		if low, high := b.value.low(), b.value.high(); low != high {
			end = max(end, x(high))
			fmt.Fprintf(&s, `<path class="line" fill="none" d="M%.1f %.1fH%.1fM%.1f %.1fv%dM%.1f %.1fv%d"/>`+"\n",
				x(low), middle, x(high), x(low), middle-whisker, 2*whisker, x(high), middle-whisker, 2*whisker)
		}
		fmt.Fprintf(&s, `<text class="ink" x="%.1f" y="%.1f">%s</text>`+"\n",
			end+8, middle+4, html.EscapeString(strings.TrimSpace(format(b.value.median())+" "+b.note)))
	}
	if mark > 0 {
		fmt.Fprintf(&s, `<path class="line" stroke-dasharray="3 3" d="M%.1f %dV%d"/>`+"\n", x(mark), top-6, height-8)
	}
	s.WriteString("</svg>\n")
	return s.String()
}
