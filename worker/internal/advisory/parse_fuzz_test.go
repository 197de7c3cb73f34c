package advisory

import "testing"

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"type":"io.nats.jetstream.advisory.v1.max_deliver","stream":"REDOX_OUT","consumer":"clinic-a-send","stream_seq":7,"deliveries":5}`))
	f.Add([]byte(`{"type":"io.nats.jetstream.advisory.v1.terminated","stream":"REDOX_OUT","consumer":"a.b","stream_seq":1}`))
	f.Add([]byte(`{"stream_seq":-1}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := Parse(data, "REDOX_OUT")
		if err != nil {
			return
		}
		if a.Stream != "REDOX_OUT" || a.Sequence == 0 || a.Consumer == "" {
			t.Errorf("accepted %+v", a)
		}
		for _, c := range a.Consumer {
			if c == '.' || c == '*' || c == '>' || c == ' ' {
				t.Errorf("a consumer that is no subject token: %q", a.Consumer)
			}
		}
	})
}
