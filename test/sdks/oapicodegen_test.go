package sdks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/test/sdks/petstore"
)

// pets answers as openapi.yaml says. It knows the pet "axle" and what it was given.
func pets() http.Handler {
	var mu sync.Mutex
	known := []petstore.Pet{{Id: "axle", Name: "Axle", Tag: new("cat")}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /pets", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil {
			writeJSON(w, http.StatusBadRequest, petstore.Error{Code: "bad_request", Message: "limit"})
			return
		}
		tags := r.URL.Query()["tag"]
		found := slices.DeleteFunc(slices.Clone(known), func(p petstore.Pet) bool { return p.Tag == nil || !slices.Contains(tags, *p.Tag) })
		writeJSON(w, http.StatusOK, found[:min(limit, len(found))])
	})
	mux.HandleFunc("POST /pets", func(w http.ResponseWriter, r *http.Request) {
		var given petstore.NewPet
		if err := json.NewDecoder(r.Body).Decode(&given); err != nil || given.Name == "" {
			writeJSON(w, http.StatusUnprocessableEntity, petstore.Error{Code: "invalid", Message: fmt.Sprint("a pet needs a name: ", err)})
			return
		}
		mu.Lock()
		defer mu.Unlock()
		known = append(known, petstore.Pet{Id: strconv.Itoa(len(known)), Name: given.Name, Tag: given.Tag})
		writeJSON(w, http.StatusCreated, known[len(known)-1])
	})
	mux.HandleFunc("GET /pets/{id}", func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range known {
			if p.Id == r.PathValue("id") {
				writeJSON(w, http.StatusOK, p)
				return
			}
		}
		writeJSON(w, http.StatusNotFound, petstore.Error{Code: "not_found", Message: "there is no such pet"})
	})
	return mux
}

func petClient(t *testing.T, a *api, client *axle.Client) *petstore.ClientWithResponses {
	t.Helper()
	sdk, err := petstore.NewClientWithResponses(a.URL, petstore.WithHTTPClient(client.HTTPClient())) // the one line
	require.NoError(t, err)
	return sdk
}

func TestOapiCodegen_CallsSurviveExpiries(t *testing.T) {
	t.Parallel()
	t.Run("GET", func(t *testing.T) {
		t.Parallel()
		a := newAPI(t, pets())
		client, w := a.client()
		sdk := petClient(t, a, client)
		tell(t, a, w, func(ctx context.Context, _ string) error {
			answer, err := sdk.GetPetWithResponse(ctx, "axle")
			switch {
			case err != nil:
				return err
			case answer.JSON200 == nil:
				return errors.New(answer.Status())
			}
			return same(answer.JSON200.Name, "Axle")
		})
		assert.Equal(t, "GET /pets/axle", w.requests()[0], "the SDK's request is an axle.Request")
	})
	t.Run("POST", func(t *testing.T) {
		t.Parallel()
		a := newAPI(t, pets())
		client, w := a.client()
		sdk := petClient(t, a, client)
		tell(t, a, w, func(ctx context.Context, text string) error {
			answer, err := sdk.CreatePetWithResponse(ctx, petstore.NewPet{Name: text})
			switch {
			case err != nil:
				return err
			case answer.JSON201 == nil:
				return errors.New(answer.Status())
			}
			return same(answer.JSON201.Name, text)
		})
	})
}

func TestOapiCodegen_ParametersAndTypedErrors(t *testing.T) {
	t.Parallel()
	a := newAPI(t, pets())
	client, _ := a.client()
	sdk := petClient(t, a, client)

	list, err := sdk.ListPetsWithResponse(t.Context(), &petstore.ListPetsParams{Tag: &[]string{"dog", "cat"}, Limit: new(int32(5))})
	require.NoError(t, err)
	require.NotNil(t, list.JSON200, "%s", list.Body)
	assert.Equal(t, []petstore.Pet{{Id: "axle", Name: "Axle", Tag: new("cat")}}, *list.JSON200)

	// A status that axle refuses is the SDK's to judge.
	missing, err := sdk.GetPetWithResponse(t.Context(), "none")
	require.NoError(t, err)
	assert.Equal(t, &petstore.Error{Code: "not_found", Message: "there is no such pet"}, missing.JSON404)
	assert.Equal(t, "404 Not Found", missing.Status())

	invalid, err := sdk.CreatePetWithResponse(t.Context(), petstore.NewPet{})
	require.NoError(t, err)
	require.NotNil(t, invalid.JSONDefault, "%s", invalid.Body)
	assert.Equal(t, "invalid", invalid.JSONDefault.Code)
	assert.Equal(t, http.StatusUnprocessableEntity, invalid.StatusCode())
	assert.Equal(t, 1, a.counts().refreshes)
}

func TestOapiCodegen_AnEndedSessionIsAnError(t *testing.T) {
	t.Parallel()
	a := newAPI(t, pets())
	client, _ := a.client()
	sdk := petClient(t, a, client)
	a.end()

	_, err := sdk.GetPetWithResponse(t.Context(), "axle")
	var failed *axle.Error
	require.ErrorAs(t, err, &failed, "the refresh's failure reaches the SDK's caller, behind net/http's error")
	assert.Equal(t, http.StatusUnauthorized, failed.StatusCode())

	answer, err := sdk.GetPetWithResponse(t.Context(), "axle")
	require.NoError(t, err, "from then on a 401 is a 401")
	require.NotNil(t, answer.JSONDefault)
	assert.Equal(t, "unauthorized", answer.JSONDefault.Code)
	assert.Empty(t, a.counts().reused)
}
