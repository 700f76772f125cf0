package rewind_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle/internal/rewind"
)

// plain is a reader that can neither seek nor be made anew. It counts how often it is closed.
type plain struct {
	io.Reader
	closed int
}

func newPlain(text string) *plain { return &plain{Reader: strings.NewReader(text)} }

func (p *plain) Close() error {
	p.closed++
	return nil
}

// seeker hides that it is a *strings.Reader.
type seeker struct{ io.ReadSeeker }

// kinds are the ways in which a body goes back to its start. Each yields "the body".
var kinds = map[string]func(t *testing.T) *rewind.Body{
	"a buffer":        func(*testing.T) *rewind.Body { return rewind.New(bytes.NewBufferString("the body")) },
	"a bytes reader":  func(*testing.T) *rewind.Body { return rewind.New(bytes.NewReader([]byte("the body"))) },
	"a string reader": func(*testing.T) *rewind.Body { return rewind.New(strings.NewReader("the body")) },
	"a seeker": func(t *testing.T) *rewind.Body {
		s := strings.NewReader("before the body")
		_, err := s.Seek(int64(len("before ")), io.SeekStart)
		require.NoError(t, err)
		return rewind.New(seeker{s})
	},
	"a plain reader": func(*testing.T) *rewind.Body { return rewind.New(newPlain("the body")) },
	"a request":      func(t *testing.T) *rewind.Body { return rewind.OfRequest(newRequest(t, newPlain("the body"))) },
	"with its GetBody": func(t *testing.T) *rewind.Body {
		r := newRequest(t, newPlain("the body"))
		r.GetBody = func() (io.ReadCloser, error) { return newPlain("the body"), nil }
		return rewind.OfRequest(r)
	},
}

func newRequest(t *testing.T, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://axle.test", body)
	require.NoError(t, err)
	return r
}

func open(t *testing.T, b *rewind.Body) io.ReadCloser {
	t.Helper()
	r, err := b.Open(t.Context())
	require.NoError(t, err)
	return r
}

func readAll(t *testing.T, r io.Reader) string {
	t.Helper()
	all, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(all)
}

func TestReading_EachIsTheWholeBody(t *testing.T) {
	for name, newBody := range kinds {
		t.Run(name, func(t *testing.T) {
			b := newBody(t)
			require.True(t, b.Retain())
			for _, part := range []int64{3, 0, 100, 8, 100} { // how much of the reading is read before it is closed
				r := open(t, b)
				text := readAll(t, io.LimitReader(r, part))
				assert.Equal(t, "the body"[:min(part, 8)], text)
				require.NoError(t, r.Close())
			}
			b.Release()
		})
	}
}

func TestReading_ALaterOneTakesTheBodyFromAnEarlier(t *testing.T) {
	for name, newBody := range kinds {
		t.Run(name, func(t *testing.T) {
			b := newBody(t)
			b.Retain()
			earlier := open(t, b)
			assert.Equal(t, "the", readAll(t, io.LimitReader(earlier, 3)))

			later := open(t, b)
			_, err := earlier.Read(make([]byte, 1))
			require.Error(t, err)
			assert.NotErrorIs(t, err, io.EOF)
			require.NoError(t, earlier.Close(), "a transport closes it late")
			assert.Equal(t, "the body", readAll(t, later))

			require.NoError(t, later.Close())
			_, err = later.Read(make([]byte, 1))
			require.Error(t, err, "it was closed")
			b.Release()
		})
	}
}

func TestReading_AHandlersGoesOnUntilATransportOpensTheBody(t *testing.T) {
	for name, newBody := range kinds {
		t.Run(name, func(t *testing.T) {
			b := newBody(t)
			b.Retain()
			assert.Equal(t, "the", readAll(t, io.LimitReader(b, 3)))
			assert.Equal(t, " body", readAll(t, b))

			r := open(t, b)
			assert.Equal(t, "the body", readAll(t, r))
			require.NoError(t, r.Close())

			assert.Equal(t, "the body", readAll(t, b), "a handler's next reading begins at the start too")
			b.Release()
		})
	}
}

func TestReading_AReaderThatWasMadeForAHandlerIsClosedWhenItsReadingIsOver(t *testing.T) {
	for name, end := range map[string]func(b *rewind.Body){
		"a transport opens the body": func(b *rewind.Body) { open(t, b) },
		"the call is over":           func(b *rewind.Body) { b.Release() },
	} {
		first := newPlain("the body")
		r := newRequest(t, first)
		r.GetBody = func() (io.ReadCloser, error) { return newPlain("the body"), nil }
		b := rewind.OfRequest(r)
		b.Retain()
		readAll(t, io.LimitReader(b, 3))
		assert.Zero(t, first.closed, name)

		end(b)
		assert.Equal(t, 1, first.closed, name)
	}
}

func TestReading_AWaitForAPlainReaderEndsWithItsContextItsCloseAndALaterReading(t *testing.T) {
	for name, end := range map[string]func(cancel func(), r io.Closer, b *rewind.Body) error{
		"its context":     func(cancel func(), _ io.Closer, _ *rewind.Body) error { cancel(); return nil },
		"its close":       func(_ func(), r io.Closer, _ *rewind.Body) error { return r.Close() },
		"a later reading": func(_ func(), _ io.Closer, b *rewind.Body) error { return b.Rewind(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				source, writer := io.Pipe()
				b := rewind.New(struct{ io.Reader }{source})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r, err := b.Open(ctx)
				require.NoError(t, err)

				done := make(chan error)
				go func() {
					_, err := r.Read(make([]byte, 1))
					done <- err
				}()
				synctest.Wait()
				require.NoError(t, end(cancel, r, b))
				require.Error(t, <-done)

				// What the reader yields late belongs to the next reading.
				again := open(t, b)
				go func() {
					_, _ = writer.Write([]byte("late"))
					_ = writer.Close()
				}()
				assert.Equal(t, "late", readAll(t, again))
			})
		})
	}
}

func TestReading_OneThatWaitsForItsTurnEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source, writer := io.Pipe()
		b := rewind.OfRequest(&http.Request{
			Body: source, GetBody: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("again")), nil },
		})
		first := open(t, b)
		go func() { _, _ = first.Read(make([]byte, 1)) }()
		synctest.Wait()

		cause := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(cause)
		_, err := b.Open(ctx)
		require.ErrorIs(t, err, cause)

		require.NoError(t, writer.Close())
		assert.Equal(t, "again", readAll(t, open(t, b)))
	})
}

func TestPlainReader_OneThatYieldsMoreThanTheLimitIsReadOnce(t *testing.T) {
	for _, x := range []struct {
		size  int
		again bool
	}{{rewind.Limit - 1, true}, {rewind.Limit, true}, {rewind.Limit + 1, false}, {3 * rewind.Limit, false}} {
		text := strings.Repeat("x", x.size)
		source := newPlain(text)
		b := rewind.New(source)
		b.Retain()
		r := open(t, b)
		assert.Len(t, readAll(t, r), x.size)
		require.NoError(t, r.Close())

		r, err := b.Open(t.Context())
		if x.again {
			require.NoError(t, err)
			require.NoError(t, r.Close())
			assert.Zero(t, source.closed)
		} else {
			require.ErrorIs(t, err, rewind.ErrConsumed)
			require.ErrorContains(t, err, "the body (*rewind_test.plain) cannot be sent again: ")
			_, err = b.Read(make([]byte, 1))
			require.ErrorIs(t, err, rewind.ErrConsumed, "nor by a handler")
			assert.Equal(t, 1, source.closed, "nobody can read it again, and so its close need not wait for the call's end")
		}
		b.Release()
		assert.Equal(t, 1, source.closed)
	}
}

// endless yields bytes up to the limit and a little more, and then hangs until it is closed.
type endless struct {
	left   int
	closed chan struct{}
}

func (e *endless) Read(p []byte) (int, error) {
	if e.left <= 0 {
		<-e.closed
		return 0, io.ErrClosedPipe
	}
	n := min(len(p), e.left)
	e.left -= n
	return n, nil
}

func (e *endless) Close() error { close(e.closed); return nil }

func TestPlainReader_AHangingReadOfOneThatIsReadOnceIsEndedByItsContextAndItsClose(t *testing.T) {
	for name, end := range map[string]func(cancel func(), r io.Closer){
		"its context": func(cancel func(), _ io.Closer) { cancel() },
		"its close":   func(_ func(), r io.Closer) { _ = r.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := rewind.New(&endless{left: rewind.Limit + 1, closed: make(chan struct{})})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				r, err := b.Open(ctx)
				require.NoError(t, err)
				done := make(chan error)
				go func() {
					_, err := io.Copy(io.Discard, r)
					done <- err
				}()
				synctest.Wait()

				require.ErrorIs(t, b.Rewind(context.Background()), rewind.ErrConsumed, "it does not wait for the read that hangs")
				end(cancel, r)
				b.Retain()
				b.Release()
				require.Error(t, <-done)
			})
		})
	}
}

func TestPlainReader_OneThatFailsFailsEachReadingAtTheSamePlace(t *testing.T) {
	broken := errors.New("broken")
	b := rewind.New(struct{ io.Reader }{io.MultiReader(strings.NewReader("half"), failing{broken})})
	for range 2 {
		r := open(t, b)
		all, err := io.ReadAll(r)
		require.ErrorIs(t, err, broken)
		assert.True(t, rewind.IsReadError(err), "the network is not at fault")
		assert.EqualError(t, err, "broken")
		assert.Equal(t, "half", string(all))
		require.NoError(t, r.Close())

		// A reading that is over fails for another reason.
		_, err = r.Read(make([]byte, 1))
		require.Error(t, err)
		assert.False(t, rewind.IsReadError(err))
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestRelease_TheSourceIsClosedWhenTheCallIsOverAndNobodyReads(t *testing.T) {
	for name, x := range map[string]struct {
		before func(t *testing.T, b *rewind.Body) (closeLate func())
		isLate bool
	}{
		"nobody has read": {before: func(*testing.T, *rewind.Body) func() { return nil }},
		"a reading was closed": {before: func(t *testing.T, b *rewind.Body) func() {
			r := open(t, b)
			readAll(t, r)
			require.NoError(t, r.Close())
			return nil
		}},
		"a handler has read": {before: func(t *testing.T, b *rewind.Body) func() {
			readAll(t, io.LimitReader(b, 3))
			return nil
		}},
		"a transport still reads": {isLate: true, before: func(t *testing.T, b *rewind.Body) func() {
			r := open(t, b)
			return func() { _ = r.Close() }
		}},
		"a transport reads the second time": {isLate: true, before: func(t *testing.T, b *rewind.Body) func() {
			first, second := open(t, b), open(t, b)
			return func() { _ = first.Close(); _ = second.Close() }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			source := newPlain("the body")
			b := rewind.New(source)
			b.Retain()
			closeLate := x.before(t, b)
			assert.Zero(t, source.closed)
			b.Release()
			if x.isLate {
				assert.Zero(t, source.closed)
				closeLate()
			}
			assert.Equal(t, 1, source.closed)
		})
	}
}

func TestRelease_ATransportThatOpensTheBodyAfterwardsStillClosesTheSource(t *testing.T) {
	source := newPlain("the body")
	b := rewind.New(source)
	b.Retain()
	first := open(t, b)
	b.Release()

	second := open(t, b) // as net/http does when a connection has failed
	require.NoError(t, first.Close())
	assert.Zero(t, source.closed)
	assert.Equal(t, "the body", readAll(t, second))
	require.NoError(t, second.Close())
	assert.Equal(t, 1, source.closed)
}

func TestRelease_AClosedReaderIsReadAgainOnlyIfAllOfItWasRecorded(t *testing.T) {
	for part, again := range map[int64]bool{3: false, 100: true} {
		b := rewind.New(newPlain("the body"))
		b.Retain()
		r := open(t, b)
		readAll(t, io.LimitReader(r, part))
		require.NoError(t, r.Close())
		b.Release()

		assert.True(t, b.Retain(), "a later call uses it")
		r, err := b.Open(t.Context())
		if !again {
			require.ErrorIs(t, err, rewind.ErrConsumed)
			require.ErrorContains(t, err, "it was closed at the end of the call that it belonged to")
			continue
		}
		require.NoError(t, err)
		assert.Equal(t, "the body", readAll(t, r))
	}
}

func TestRelease_ASeekerIsPutBackToWhereItWasLeft(t *testing.T) {
	s := strings.NewReader("before the body")
	_, _ = s.Seek(7, io.SeekStart)
	b := rewind.New(seeker{s})
	for range 2 {
		b.Retain()
		r := open(t, b)
		readAll(t, r)
		require.NoError(t, r.Close())
		b.Release()
		assert.Equal(t, 8, s.Len())
	}
}

func TestRelease_TheBodyOfARequestIsClosedAlsoIfNobodyReadsIt(t *testing.T) {
	for _, getBody := range []func() (io.ReadCloser, error){nil, func() (io.ReadCloser, error) { return http.NoBody, nil }} {
		source := newPlain("the body")
		r := newRequest(t, source)
		r.GetBody = getBody
		b := rewind.OfRequest(r)
		b.Retain()
		b.Release()
		assert.Equal(t, 1, source.closed)
	}
}

func TestRetain_OfTwoCallsThatUseABodyTheFirstReleasesIt(t *testing.T) {
	b := rewind.New(newPlain("the body"))
	assert.True(t, b.Retain())
	assert.False(t, b.Retain())
	b.Release()
	assert.True(t, b.Retain())
}

func TestRetain_ALaterCallTakesTheBodyFromATransportThatStillReads(t *testing.T) {
	source := newPlain("the body")
	b := rewind.New(source)
	b.Retain()
	earlier := open(t, b)
	b.Release()

	assert.True(t, b.Retain())
	later := open(t, b)
	require.NoError(t, earlier.Close())
	assert.Zero(t, source.closed)
	assert.Equal(t, "the body", readAll(t, later))
	require.NoError(t, later.Close())
	b.Release()
	assert.Equal(t, 1, source.closed)
}

func TestSendWithin_TheInnerBodyStaysOpenUntilTheOuterIsClosed(t *testing.T) {
	source := newPlain("the body")
	inner := rewind.New(source)
	outer := rewind.New(struct{ io.Reader }{io.TeeReader(inner, io.Discard)})
	inner.Retain()
	outer.Retain()
	inner.SendWithin(outer)
	r := open(t, outer)

	inner.Release()
	outer.Release()
	assert.Zero(t, source.closed, "a transport still reads the outer body")
	assert.Equal(t, "the body", readAll(t, r))
	require.NoError(t, r.Close())
	assert.Equal(t, 1, source.closed)
}

func TestSendWithin_OnlyTheLastOuterBodyKeepsTheInnerOpen(t *testing.T) {
	source := newPlain("the body")
	inner := rewind.New(source)
	first, second := rewind.New(struct{ io.Reader }{inner}), rewind.New(struct{ io.Reader }{inner})
	for _, b := range []*rewind.Body{inner, first, second} {
		b.Retain()
	}
	inner.SendWithin(first)
	inner.SendWithin(second)
	inner.SendWithin(inner) // of a body that nobody wraps

	first.Release()
	inner.Release()
	assert.Zero(t, source.closed)
	second.Release()
	assert.Equal(t, 1, source.closed)
}

func TestBody_ItsSizeIsKnownWhereTheReaderKnowsIt(t *testing.T) {
	for name, want := range map[string]int64{
		"a buffer": 8, "a bytes reader": 8, "a string reader": 8, "a seeker": 8, "a plain reader": -1, "a request": -1, "with its GetBody": -1,
	} {
		assert.Equal(t, want, kinds[name](t).Size(), name)
	}
	assert.Equal(t, int64(3), rewind.New(lengthy{newPlain("abc"), 3}).Size())
	assert.Equal(t, int64(5), rewind.OfRequest(newSized(t, 5)).Size())
}

// lengthy is a reader that knows its length and nothing else.
type lengthy struct {
	io.Reader
	length int
}

func (l lengthy) Len() int { return l.length }

func newSized(t *testing.T, size int64) *http.Request {
	r := newRequest(t, newPlain(strings.Repeat("x", int(size))))
	r.ContentLength = size
	return r
}

func TestBody_OnlyAPlainReaderMayExceedTheLimit(t *testing.T) {
	for name, newBody := range kinds {
		want := name == "a plain reader" || name == "a request"
		assert.Equal(t, want, newBody(t).MayExceedLimit(), name)
	}
	assert.False(t, rewind.OfRequest(newSized(t, 5)).MayExceedLimit())
}

func TestBody_ARequestWithoutOneHasNone(t *testing.T) {
	assert.Nil(t, rewind.OfRequest(&http.Request{}))
	assert.Nil(t, rewind.OfRequest(&http.Request{Body: http.NoBody}))
}

func TestBody_OfABodyIsThatBody(t *testing.T) {
	b := rewind.New(strings.NewReader("x"))
	assert.Same(t, b, rewind.New(b))
	require.NoError(t, b.Close())
}

func TestError_NamesTheTypeOfTheBodyAndItsCause(t *testing.T) {
	broken := errors.New("no second time")
	r := newRequest(t, newPlain("x"))
	r.GetBody = func() (io.ReadCloser, error) { return nil, broken }
	b := rewind.OfRequest(r)
	require.NoError(t, open(t, b).Close())

	_, err := b.Open(t.Context())
	require.ErrorIs(t, err, broken)
	refused, ok := errors.AsType[*rewind.Error](err)
	require.True(t, ok)
	assert.Equal(t, "the body (*rewind_test.plain) cannot be sent again", refused.Message())
	assert.Same(t, r.Body, refused.Given)
}
