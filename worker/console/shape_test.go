package console

import (
	"fmt"
	"strings"
	"testing"
)

func TestShape_IsKeysTypesAndLengths(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"Meta":{"DataModel":"Order"},"Patients":[{"ID":"ünï"},{"ID":null,"Age":7}],"Empty":[],"On":true}`: ":object Meta:object DataModel:string5 Patients:array2 each:object ID:string or null3 Age:number Empty:array On:boolean",
		`"text"`: ":string4", `[1,"a"]`: ":array2 each:number or string1",
		`{"MRN 123":1,"Ada Lovelace":2,"x12345":3,"Line2":4,"":5,"@type":6}`: ":object (a key that is not shown):number Line2:number @type:number",
		`{`: "the body is not JSON", `{} {}`: "the body is not JSON", ``: "the body is not JSON", `<p>`: "the body is not JSON",
	} {
		rows, err := shapeOf([]byte(body))
		var got []string
		for _, r := range rows {
			length := ""
			if r.Length > 0 {
				length = fmt.Sprint(r.Length)
			}
			got = append(got, r.Key+":"+r.Type+length)
		}
		if text := strings.Join(got, " "); err == nil && text != want || err != nil && err.Error() != want {
			t.Errorf("%s: %s, %v, want %s", body, text, err, want)
		}
	}
	deep := strings.Repeat(`[`, 9000) + strings.Repeat(`]`, 9000)
	if rows, err := shapeOf([]byte(deep)); err != nil || len(rows) > mostShape+1 {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	if _, err := shapeOf([]byte(strings.Repeat(`[`, mostShaped))); err == nil { // no stack would hold it
		t.Error("one of any depth is made")
	}
	var wide strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&wide, `,"k%c%c%c":1`, 'a'+i%26, 'a'+i/26%26, 'a'+i/676)
	}
	if rows, err := shapeOf([]byte("{" + wide.String()[1:] + "}")); err != nil || len(rows) != mostShape+1 || rows[mostShape].Type != "1601 more" {
		t.Errorf("%d rows, %v", len(rows), err)
	}
	if _, err := shapeOf(make([]byte, mostShaped+1)); err == nil {
		t.Error("one of any size is made")
	}
}

func FuzzShape(f *testing.F) {
	f.Add(`{"Meta":{"DataModel":"Order"},"a":[1,{"b":"c"}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		rows, err := shapeOf([]byte(body))
		if err == nil && len(rows) == 0 || len(rows) > mostShape+1 {
			t.Errorf("%d rows, %v", len(rows), err)
		}
	})
}
