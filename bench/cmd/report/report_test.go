package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const printed = `fact cores 2
round 0
BenchmarkMemory/GET/net/http-2         	   15594	      9999 ns/op	    2560 B/op	      28 allocs/op
BenchmarkMemory/GET/axle-2             	    7182	      9999 ns/op	    4944 B/op	      44 allocs/op
round 1
BenchmarkMemory/GET/axle-2             	    7182	      3000 ns/op	    4944 B/op	      44 allocs/op
BenchmarkMemory/GET/net/http-2         	   15594	      2000 ns/op	    2560 B/op	      28 allocs/op
round 2
BenchmarkMemory/GET/net/http           	   15594	      8000 ns/op	    2560 B/op	      28 allocs/op
BenchmarkMemory/GET/axle               	    7182	     16000 ns/op	    4944 B/op	      44 allocs/op
round 3
BenchmarkMemory/GET/net/http-2         	   15594	      3000 ns/op	    2560 B/op	      28 allocs/op
BenchmarkMemory/GET/axle-2             	    7182	      3000 ns/op	    4944 B/op	      44 allocs/op
`

func parsed(t *testing.T, text string) *results {
	t.Helper()
	r, err := parse(strings.NewReader(text))
	require.NoError(t, err)
	return r
}

func TestParse_DiscardsTheFirstRoundAndKeepsItsOrder(t *testing.T) {
	r := parsed(t, printed)
	assert.Equal(t, 3, r.rounds)
	assert.Equal(t, "2", r.facts["cores"])
	assert.Equal(t, []string{"net/http", "axle"}, r.under("Memory/GET/"))
	assert.Equal(t, values{2000, 8000, 3000}, r.of("Memory/GET/net/http", "ns/op"))
	assert.Equal(t, values{44, 44, 44}, r.of("Memory/GET/axle", "allocs/op"))
}

func TestParse_ReadsTheMetricsOfABenchmarkAndSpacesInItsName(t *testing.T) {
	r := parsed(t, "round 0\nround 1\nBenchmarkStampede/stay_valid/axle-2  1  426685476 ns/op  0 failures  1.000 refreshes\n")
	assert.Equal(t, values{1}, r.of("Stampede/stay valid/axle", "refreshes"))
	assert.Equal(t, values{0}, r.of("Stampede/stay valid/axle", "failures"))
}

func TestParse_RefusesARoundThatLacksARow(t *testing.T) {
	_, err := parse(strings.NewReader("round 0\nround 1\nBenchmarkA  1  5 ns/op\nround 2\nBenchmarkB  1  5 ns/op\n"))
	require.Error(t, err)
	_, err = parse(strings.NewReader("round 0\nround 1\nBenchmarkA  1  five ns/op\n"))
	require.Error(t, err)
}

func TestValues_AreComparedRoundByRound(t *testing.T) {
	r := parsed(t, printed)
	ratio := r.of("Memory/GET/axle", "ns/op").over(r.of("Memory/GET/net/http", "ns/op"))
	assert.Equal(t, values{1.5, 2, 1}, ratio)
	assert.InDelta(t, 1.5, ratio.median(), 0)
	assert.InDelta(t, 1.75, values{2, 1.5}.median(), 0, "of an even number")
	assert.True(t, math.IsNaN(values{}.median()))
	assert.Empty(t, ratio.over(values{}))
}

func TestText_IsReadable(t *testing.T) {
	assert.Equal(t, "1,234,567", number(1234567))
	assert.Equal(t, "-12", number(-12))
	assert.Equal(t, "0", number(-0.2))
	assert.Equal(t, "+6", signed(6))
	assert.Equal(t, "–", number(math.NaN()))
	assert.Equal(t, "999 ns, 1.5 µs, 2.0 ms", strings.Join([]string{duration(999), duration(1500), duration(2e6)}, ", "))
	assert.Equal(t, "2.00 (1.00 – 3.00)", spread(values{3, 1, 2}, times))
	assert.Equal(t, "2.00", spread(values{2, 2}, times))
	assert.Equal(t, "1–3", spanned(values{3, 1, 2}))
}

func TestGoals_SayPlainlyWhatIsMissed(t *testing.T) {
	limit := func(v ...float64) goal { return goal{got: v, most: 1} }
	assert.Equal(t, met, limit(1).verdict())
	assert.Equal(t, missed, limit(1.1).verdict())
	assert.Equal(t, met, limit(0.5, 0.5, 0.6, 0.6, 0.7, 0.8, 0.9, 0.9, 1.1).verdict())
	assert.Equal(t, missed, limit(0.9, 1.1, 1.1, 1.2, 1.2, 1.3, 1.3, 1.4, 1.5).verdict())
	assert.Equal(t, level, limit(0.8, 0.8, 0.9, 0.9, 0.9, 1.1, 1.2, 1.2, 1.3).verdict())
	assert.Equal(t, level, limit(0.8, 0.9).verdict(), "two rounds say nothing")
	assert.Equal(t, unknown, limit().verdict())
	strict := limit(1)
	strict.below = true
	assert.Equal(t, missed, strict.verdict())
	assert.Equal(t, "3 of 4 bars are met, 1 missed", summary(4, map[string]int{met: 3, missed: 1}))
}

func TestChart_IsWellFormed(t *testing.T) {
	text := chart("A & B", 1, times, []bar{{label: "axle <1>", value: values{1, 2, 3}}, {label: "peer", value: values{9}, note: "ms"}})
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
	}
	assert.NotContains(t, text, "NaN")
}

func TestWrite_KeepsWhatIsWrittenByHand(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	hand, err := handWritten(path)
	require.NoError(t, err)
	r := parsed(t, printed)
	require.NoError(t, write(r, hand+"Found, and done.\n", path))
	for range 2 {
		hand, err = handWritten(path)
		require.NoError(t, err)
		require.NoError(t, write(r, hand, path))
	}
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, 1, strings.Count(string(text), "Found, and done."))
	assert.Contains(t, string(text), "| axle | 1.50 (1.00 – 2.00) |")
	assert.FileExists(t, filepath.Join(filepath.Dir(path), "benchmarks", "memory-time.svg"))
}

func TestWrite_RefusesADocumentThatItWouldLose(t *testing.T) {
	path := filepath.Join(t.TempDir(), "benchmarks.md")
	require.NoError(t, os.WriteFile(path, []byte("# By hand, without markers\n"), 0o600))
	_, err := handWritten(path)
	require.Error(t, err)
}
