package axle_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/axlehttp/axle"
)

// added is an interceptor in these tests: its name and its options.
type added struct {
	name string
	opts []axle.UseOption
}

func with(name string, opts ...axle.UseOption) added { return added{name, opts} }

// addTo adds interceptors to both chains of c, which record what runs.
func (l *callTrace) addTo(c *axle.Client, list ...added) {
	for _, a := range list {
		l.onRequest(c, a.name, a.opts...)
		l.onResponse(c, a.name, a.opts...)
	}
}

// orders is what the chains run: the request chain in both orders, and the response chain.
type orders struct{ lifo, fifo, response string }

func TestPlace_BeforeAndAfterMeanTheRunningOrderInBothChainsAndInBothOrders(t *testing.T) {
	before, after := axle.Before, axle.After
	for name, tt := range map[string]struct {
		add  []added
		want orders
	}{
		"before": {
			[]added{with("a"), with("b"), with("c"), with("x", before("b"))},
			orders{"c x b a", "a x b c", "a x b c"},
		},
		"after": {
			[]added{with("a"), with("b"), with("c"), with("x", after("b"))},
			orders{"c b x a", "a b x c", "a b x c"},
		},
		"before the one that runs first": {
			[]added{with("a"), with("b"), with("x", before("a")), with("y", before("b"))},
			orders{"y b x a", "x a y b", "x a y b"},
		},
		"after the one that runs last": {
			[]added{with("a"), with("b"), with("x", after("a")), with("y", after("b"))},
			orders{"b y a x", "a x b y", "a x b y"},
		},
		"without one of that name, as if not given": {
			[]added{with("a"), with("x", before("none")), with("y", after("none"))},
			orders{"y x a", "a x y", "a x y"},
		},
		"one of that name that is added later moves nothing": {
			[]added{with("x", before("late")), with("y", after("late")), with("late")},
			orders{"late y x", "x y late", "x y late"},
		},
		"the empty name is nobody's": {
			[]added{with("a"), with("x", before("")), with("y", after(""))},
			orders{"y x a", "a x y", "a x y"},
		},
		"an interceptor is not its own neighbour": {
			[]added{with("a"), with("x", before("x")), with("y", after("y"))},
			orders{"y x a", "a x y", "a x y"},
		},
		"before all of one name, after all of one name": {
			[]added{with("a"), with("b"), with("a"), with("c"), with("x", before("a")), with("y", after("a"))},
			orders{"c x a b a y", "x a b a y c", "x a b a y c"},
		},
		"the latest is the nearest": {
			[]added{with("a"), with("x", before("a")), with("y", before("a")), with("v", after("a")), with("w", after("a"))},
			orders{"x y a w v", "x y a w v", "x y a w v"},
		},
		"beside one that was placed itself": {
			[]added{with("a"), with("b"), with("x", before("b")), with("y", after("x")), with("z", before("x"))},
			orders{"z x y b a", "a z x y b", "a z x y b"},
		},
		"of several options the first whose name is there decides": {
			[]added{
				with("a"), with("b"), with("c"),
				with("x", before("a"), after("c")),
				with("y", after("c"), before("a")),
				with("z", before("none"), after("none"), after("b"), before("b")),
			},
			orders{"c y b z x a", "x a b z c y", "x a b z c y"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			run := func(setOrder func(c *axle.Client), add []added) (request, response string) {
				c, _ := newFakeClient(always(200, ""))
				setOrder(c)
				var log callTrace
				log.addTo(c, add...)
				_, err := c.Get(t.Context(), "/")
				require.NoError(t, err)
				steps := log.taken()
				request = strings.Join(steps[:len(add)], " ")
				response = strings.Join(steps[len(add):], " ")
				assert.Equal(t, strings.ReplaceAll(request, " ", " -> "), c.Interceptors.Request.String())
				assert.Equal(t, strings.ReplaceAll(response, " ", " -> "), c.Interceptors.Response.String())
				return request, response
			}
			var got orders
			got.lifo, got.response = run(func(*axle.Client) {}, tt.add)
			got.fifo, _ = run(func(c *axle.Client) { c.SetInterceptorOrder(axle.FIFO) }, tt.add)
			assert.Equal(t, tt.want, got)
		})
	}
}

func TestPlace_SetInterceptorOrderPlacesAllAnewAsIfTheyWereAddedAgain(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	log.onRequest(c, "a")
	b := log.onRequest(c, "b")
	log.onRequest(c, "c")
	log.onRequest(c, "before b", axle.Before("b"))
	log.onRequest(c, "after c", axle.After("c"))
	assert.Equal(t, "c -> after c -> before b -> b -> a", c.Interceptors.Request.String())

	c.SetInterceptorOrder(axle.FIFO)
	assert.Equal(t, "a -> before b -> b -> c -> after c", c.Interceptors.Request.String())

	c.Interceptors.Request.Eject(b)
	assert.Equal(t, "a -> before b -> c -> after c", c.Interceptors.Request.String(), "to eject a name moves nothing")
	c.SetInterceptorOrder(axle.FIFO)
	assert.Equal(t, "a -> before b -> c -> after c", c.Interceptors.Request.String(), "the order is the same")
	c.SetInterceptorOrder(axle.LIFO)
	assert.Equal(t, "before b -> c -> after c -> a", c.Interceptors.Request.String(), "nothing is named b now")
}

func TestPlace_EjectingTheNamedOneMovesNothingAndANewOneOfThatNameIsAnyOther(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	log.onResponse(c, "a")
	auth := log.onResponse(c, "auth")
	log.onResponse(c, "b")
	log.onResponse(c, "x", axle.Before("auth"))
	c.Interceptors.Response.Eject(auth)
	assert.Equal(t, "a -> x -> b", c.Interceptors.Response.String())

	log.onResponse(c, "auth")
	assert.Equal(t, "a -> x -> b -> auth", c.Interceptors.Response.String())
	log.onResponse(c, "y", axle.Before("auth"))
	assert.Equal(t, "a -> x -> b -> y -> auth", c.Interceptors.Response.String())
}

func TestPlace_ACloneHasThePlacesAndItsOwnLaterOnes(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	log.onRequest(c, "a")
	log.onRequest(c, "x", axle.After("a"))
	clone := c.Clone().SetInterceptorOrder(axle.FIFO)
	log.onRequest(clone, "y", axle.After("a"))
	log.onRequest(clone, "b")

	assert.Equal(t, "a -> x", c.Interceptors.Request.String())
	assert.Equal(t, "a -> y -> x -> b", clone.Interceptors.Request.String())
	clone.SetInterceptorOrder(axle.LIFO)
	assert.Equal(t, "b -> a -> y -> x", clone.Interceptors.Request.String())
}

func TestPlace_ANeighbourThatRunWhenKeepsOutOfACallIsStillANeighbour(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	log.onResponse(c, "a")
	log.onResponse(c, "out", axle.RunWhen(func(*axle.Request) bool { return false }))
	log.onResponse(c, "b")
	log.onResponse(c, "x", axle.Before("out"))

	_, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "x", "b"}, log.taken())
}

func TestPlace_ACallInFlightKeepsItsOrder(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	var log callTrace
	var once sync.Once
	log.onResponse(c, "a")
	log.onResponse(c, "b")
	useRequest(c, func(*axle.Request) {
		once.Do(func() { log.onResponse(c, "x", axle.Before("b")) })
	})

	for _, want := range [][]string{{"a", "b"}, {"a", "x", "b"}} {
		_, err := c.Get(t.Context(), "/")
		require.NoError(t, err)
		assert.Equal(t, want, log.taken())
	}
}

// Random additions, ejections and changes of the order. After each addition the new one stands
// beside its neighbour and the others keep their order. After a change of the order the chain is the
// one that a fresh client has after the same additions.
func TestPlace_RandomAdditionsStandBesideTheirNeighboursAndMoveNobody(t *testing.T) {
	names := func(c *axle.Client) []string {
		if c.Interceptors.Request.Len() == 0 {
			return nil
		}
		return strings.Split(c.Interceptors.Request.String(), " -> ")
	}
	rapid.Check(t, func(t *rapid.T) {
		type entry struct {
			added
			id axle.InterceptorID
		}
		var entries []entry // in the order in which they were added
		c, order := axle.New(), axle.LIFO

		for range rapid.IntRange(1, 12).Draw(t, "steps") {
			was := names(c)
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0: // eject one
				if len(entries) == 0 {
					continue
				}
				i := rapid.IntRange(0, len(entries)-1).Draw(t, "ejected")
				assert.True(t, c.Interceptors.Request.Eject(entries[i].id))
				entries = slices.Delete(entries, i, i+1)
				assert.Subset(t, was, names(c))

			case 1: // change the order
				order = 1 - order
				c.SetInterceptorOrder(order)
				fresh := axle.New().SetInterceptorOrder(order)
				for _, e := range entries {
					fresh.Interceptors.Request.Use(nil, nil, append(e.opts, axle.Named(e.name))...)
				}
				assert.Equal(t, names(fresh), names(c))

			default: // add one
				name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
				anchor := rapid.SampledFrom([]string{"a", "b", "c", "none"}).Draw(t, "anchor")
				after := rapid.Bool().Draw(t, "after")
				opt := axle.Before(anchor)
				if after {
					opt = axle.After(anchor)
				}
				id := c.Interceptors.Request.Use(nil, nil, opt, axle.Named(name))
				entries = append(entries, entry{with(name, opt), id})

				at := 0
				if order == axle.FIFO {
					at = len(was)
				}
				if first := slices.Index(was, anchor); first >= 0 {
					at = first
					for i, n := range was {
						if after && n == anchor {
							at = i + 1
						}
					}
				}
				assert.Equal(t, slices.Insert(slices.Clone(was), at, name), names(c))
			}
		}
	})
}

func TestOnRequest_IsAPluginOfOneNamedPairWithItsOptions(t *testing.T) {
	statuses := inTurn(200, 200, 500)
	var trace string
	c, _ := newFakeClient(func(r *http.Request) (*http.Response, error) {
		trace = r.Header.Get("X-Trace")
		return statuses(r)
	})
	var log callTrace
	log.addTo(c, with("auth"))
	c.Use(axle.OnRequest("trace", func(_ context.Context, r *axle.Request) (*axle.Request, error) {
		return r.SetHeader("X-Trace", "1"), nil
	}, nil, axle.After("auth"), axle.RunWhen(func(r *axle.Request) bool { return r.URL != "/plain" })))
	c.Use(axle.OnResponse("unwrap", func(_ context.Context, resp *axle.Response) (*axle.Response, error) {
		return resp.SetBytes([]byte("unwrapped")), nil
	}, func(_ context.Context, err *axle.Error) (*axle.Response, error) {
		return axle.NewResponse(err.Request, 200, nil, []byte("recovered")), nil
	}, axle.Before("auth")))
	assert.Equal(t, "auth -> trace", c.Interceptors.Request.String())
	assert.Equal(t, "unwrap -> auth", c.Interceptors.Response.String())

	resp, err := c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "unwrapped", resp.String())
	assert.Equal(t, "1", trace)

	_, err = c.Get(t.Context(), "/plain")
	require.NoError(t, err)
	assert.Empty(t, trace)

	resp, err = c.Get(t.Context(), "/")
	require.NoError(t, err)
	assert.Equal(t, "recovered", resp.String())
}

func TestOnRequest_MayBeInstalledInManyClientsAndUninstalledFromEach(t *testing.T) {
	request := axle.OnRequest("request", nil, nil)
	response := axle.OnResponse("response", nil, nil)
	one, two := axle.New(), axle.New().Use(request, response)
	uninstallRequest, uninstallResponse := request.Install(one), response.Install(one)
	assert.Equal(t, "request", one.Interceptors.Request.String())
	assert.Equal(t, "response", one.Interceptors.Response.String())

	for range 2 {
		uninstallRequest()
		uninstallResponse()
		assert.Zero(t, one.Interceptors.Request.Len()+one.Interceptors.Response.Len())
	}
	assert.Equal(t, 1, two.Interceptors.Request.Len())
	assert.Equal(t, 1, two.Interceptors.Response.Len())
}

func TestOnRequest_ItsNameIsTheOneOfErrorsAndWithoutOneItIsTheCallersLine(t *testing.T) {
	c, _ := newFakeClient(always(200, ""))
	c.Use(axle.OnRequest("broken", func(context.Context, *axle.Request) (*axle.Request, error) { return nil, errBoom }, nil, axle.Named("other")))
	_, err := c.Get(t.Context(), "/")
	assert.ErrorContains(t, err, "interceptor broken")

	c = axle.New().Use(axle.OnRequest("", nil, nil), axle.OnResponse("", nil, nil))
	assert.Regexp(t, `^place_test\.go:\d+$`, c.Interceptors.Request.String())
	assert.Regexp(t, `^place_test\.go:\d+$`, c.Interceptors.Response.String())
}

// One list of options may serve several interceptors.
func TestOnRequest_DoesNotWriteToTheCallersOptions(t *testing.T) {
	opts := append(make([]axle.UseOption, 0, 4), axle.Before("none"))
	c := axle.New().Use(axle.OnRequest("a", nil, nil, opts...), axle.OnRequest("b", nil, nil, opts...))
	assert.Equal(t, "b -> a", c.Interceptors.Request.String())
}

func TestClient_StringShowsBothChainsInRunningOrderAndNoSecret(t *testing.T) {
	c := axle.New()
	assert.Equal(t, "request chain:  none\nresponse chain: none", c.String())

	c.SetBaseURL("https://ada:s3cret@axle.test").SetHeader("Authorization", "Bearer s3cret").SetQueryParam("api_key", "s3cret")
	c.Use(
		axle.OnRequest("a", nil, nil), axle.OnRequest("b", nil, nil), axle.OnRequest("x", nil, nil, axle.After("b")),
		axle.OnResponse("v", nil, nil), axle.OnResponse("w", nil, nil),
	)
	const want = "request chain:  b -> x -> a\nresponse chain: v -> w"
	assert.Equal(t, want, c.String())
	for _, format := range []string{"%v", "%s", "%+v"} {
		assert.Equal(t, want, fmt.Sprintf(format, c))
	}
	assert.NotContains(t, fmt.Sprintf("%#v", c), "s3cret")
}
