package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// spread is a median and, if they differ as they are written, the lowest and the highest.
func spread(v values, format func(float64) string) string {
	low, high := format(v.low()), format(v.high())
	if len(v) == 0 || low == high {
		return format(v.median())
	}
	return fmt.Sprintf("%s (%s – %s)", format(v.median()), low, high)
}

// spanned is a count: one number where all rounds agree.
func spanned(v values) string {
	if len(v) == 0 || v.low() == v.high() {
		return number(v.median())
	}
	return number(v.low()) + "–" + number(v.high())
}

const nothing = "–"

func known(format func(float64) string) func(float64) string {
	return func(x float64) string {
		if math.IsNaN(x) {
			return nothing
		}
		return format(x)
	}
}

var (
	times       = known(func(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) })
	nanoseconds = known(func(x float64) string { return strconv.FormatFloat(x, 'f', 0, 64) + " ns" })
	tenths      = known(func(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) + " ns" })
	megabytes   = known(func(x float64) string { return strconv.FormatFloat(x, 'f', 0, 64) })

	milliseconds = known(func(ns float64) string { return strconv.FormatFloat(ns/1e6, 'f', 0, 64) })

	duration = known(func(ns float64) string {
		switch {
		case ns < 1e3:
			return fmt.Sprintf("%.0f ns", ns)
		case ns < 1e6:
			return fmt.Sprintf("%.1f µs", ns/1e3)
		}
		return fmt.Sprintf("%.1f ms", ns/1e6)
	})

	mebibytes = known(func(x float64) string {
		if x < 1<<20 {
			return fmt.Sprintf("%.0f KB", x/(1<<10))
		}
		return fmt.Sprintf("%.1f MB", x/(1<<20))
	})

	// number is a whole number with its thousands apart.
	number = known(func(x float64) string {
		text := strconv.FormatFloat(math.Abs(x), 'f', 0, 64)
		var out strings.Builder
		if x <= -0.5 {
			out.WriteString("-")
		}
		for i, digit := range text {
			if i > 0 && (len(text)-i)%3 == 0 {
				out.WriteString(",")
			}
			out.WriteRune(digit)
		}
		return out.String()
	})

	signed = known(func(x float64) string {
		if x >= 0.5 {
			return "+" + number(x)
		}
		return number(x)
	})
)
