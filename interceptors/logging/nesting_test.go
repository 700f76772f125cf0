package logging_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/axlehttp/axle"
	"github.com/axlehttp/axle/interceptors/logging"
)

func TestLogging_NestingIsBounded(t *testing.T) {
	for _, body := range []string{strings.Repeat("[", 1<<20), `{"token":` + strings.Repeat("[", 1<<20), strings.Repeat(`{"a":`, 1<<18)} {
		var j journal
		client := memory(200)
		client.Use(logging.New(logging.WithLogger(j.logger()), logging.WithBodies(1<<30)))
		_, err := client.Get(t.Context(), "/", func(r *axle.Request) {
			r.Respond(axle.NewResponse(nil, 200, http.Header{"Content-Type": {"application/json"}}, []byte(body)))
		})
		require.NoError(t, err)
		shown, _ := j.only(t).at("response.body").(string)
		assert.True(t, strings.HasSuffix(shown, "… [unreadable from here]"))
		assert.Less(t, len(shown), 1<<17)
	}
}
