package compare

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"time"

	argocd "github.com/argoproj-labs/argocd-ephemeral-access/api/argoproj/v1alpha1"
	api "github.com/argoproj-labs/argocd-ephemeral-access/api/ephemeral-access/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/ephemeral-access-dev/inject-ephemeral-access-plugin/e2e/go-host/shared/refplugin"
)

const (
	largeAnnotation = 5 << 20
	// One case in this many carries a large annotation.
	largeEvery = 200
)

// random fills values. All of it follows from the seed.
type random struct {
	*rand.Rand
	// seen counts, for each field, how often it was sent with something else than its zero value.
	seen map[string]int
}

func newRandom(seed uint64, number int) *random {
	return &random{Rand: rand.New(rand.NewPCG(seed, uint64(number))), seen: map[string]int{}}
}

// A sample is what one case sends.
type sample struct {
	revoke        bool
	accessRequest *api.AccessRequest
	application   *argocd.Application
}

func (r *random) sample(number int) sample {
	s := sample{revoke: r.IntN(2) == 0}
	if r.IntN(25) > 0 {
		s.accessRequest = new(api.AccessRequest)
		r.fill(reflect.ValueOf(s.accessRequest).Elem(), "AccessRequest")
		delete(s.accessRequest.Annotations, refplugin.Annotation)
		if do := r.instruction(s.revoke); do != "" {
			if s.accessRequest.Annotations == nil {
				s.accessRequest.Annotations = map[string]string{}
			}
			s.accessRequest.Annotations[refplugin.Annotation] = do
		}
	}
	if r.IntN(25) > 0 {
		s.application = new(argocd.Application)
		r.fill(reflect.ValueOf(s.application).Elem(), "Application")
	}
	if number%largeEvery == largeEvery/2 {
		annotations := map[string]string{"large": r.large()}
		if s.accessRequest != nil {
			s.accessRequest.Annotations = annotations
		}
		if s.application != nil {
			s.application.Annotations = annotations
		}
	}
	return s
}

// instruction asks for something else than the request's echo in one case of ten.
func (r *random) instruction(revoke bool) string {
	if r.IntN(10) > 0 {
		return ""
	}
	switch {
	case r.IntN(2) == 0:
		// Never empty: the Rust crate gives an error without a text one of its own.
		return "error:e" + r.text()
	case revoke:
		return "revoke-pending"
	case r.IntN(2) == 0:
		return "pending"
	default:
		return "denied"
	}
}

func (r *random) large() string {
	unit := "0123456789 größer 日本 \" \\ \n"
	return strings.Repeat(unit, largeAnnotation/len(unit)+1)
}

var (
	timeType     = reflect.TypeFor[metav1.Time]()
	durationType = reflect.TypeFor[metav1.Duration]()
	fieldsType   = reflect.TypeFor[metav1.FieldsV1]()
)

// fill sets every exported field, by reflection, so that a field that upstream adds is sent too.
func (r *random) fill(value reflect.Value, path string) {
	switch value.Type() {
	case timeType:
		value.Set(reflect.ValueOf(r.time()))
	case durationType:
		value.Set(reflect.ValueOf(metav1.Duration{Duration: r.duration()}))
	case fieldsType:
		value.Set(reflect.ValueOf(metav1.FieldsV1{Raw: r.rawFields()}))
	default:
		r.fillKind(value, path)
	}
	// A composite value is noted by its parts.
	if kind := value.Kind(); kind != reflect.Struct || value.Type() == timeType || value.Type() == durationType {
		r.seen[path] += 0
		if !value.IsZero() {
			r.seen[path]++
		}
	}
}

func (r *random) fillKind(value reflect.Value, path string) {
	switch value.Kind() {
	case reflect.Struct:
		for i := range value.NumField() {
			if field := value.Type().Field(i); field.IsExported() {
				r.fill(value.Field(i), path+"."+field.Name)
			}
		}
	case reflect.Pointer:
		if r.IntN(4) > 0 {
			value.Set(reflect.New(value.Type().Elem()))
			r.fill(value.Elem(), path+"*")
		}
	case reflect.Slice:
		switch count := r.IntN(5); count {
		case 0: // nil
		case 1:
			value.Set(reflect.MakeSlice(value.Type(), 0, 0))
		default:
			value.Set(reflect.MakeSlice(value.Type(), count-1, count-1))
			for i := range value.Len() {
				r.fill(value.Index(i), path+"[]")
			}
		}
	case reflect.Map:
		switch count := r.IntN(5); count {
		case 0: // nil
		case 1:
			value.Set(reflect.MakeMap(value.Type()))
		default:
			value.Set(reflect.MakeMap(value.Type()))
			for range count - 1 {
				key, element := reflect.New(value.Type().Key()).Elem(), reflect.New(value.Type().Elem()).Elem()
				r.fill(key, path+"{key}")
				r.fill(element, path+"{value}")
				value.SetMapIndex(key, element)
			}
		}
	case reflect.String:
		value.SetString(r.text())
		// Two such keys could become one in JSON.
		if !strings.HasSuffix(path, "{key}") && r.IntN(50) == 0 {
			value.SetString(notUTF8[r.IntN(len(notUTF8))])
		}
	case reflect.Bool:
		value.SetBool(r.IntN(2) == 0)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		value.SetInt(r.integer())
	default:
		panic(fmt.Sprintf("%s: no random values are known for the kind %s", path, value.Kind()))
	}
}

var texts = []string{
	"", " ", "a", "argocd", "größer", "日本語", "🚀👩‍👩‍👧", "e\u0301", "\u202eright to left", "\x00", "\x1b[31m", "a\tb\r\nc", "\u2028\u2029\ufeff",
	`"quoted" \ back/slash`, "<script>&amp;", "null", "true", "0644", "1e9", "{\"json\":1}", "\U0010ffff", "\ufffd", "\u007f\u0085",
}

// Go's JSON has a U+FFFD for each byte that is not UTF-8.
var notUTF8 = []string{"\xff", "a\xf0\x9f\x98b\xc3", "\xed\xa0\x80"}

func (r *random) text() string {
	switch r.IntN(8) {
	case 0:
		return ""
	case 1, 2, 3:
		return texts[r.IntN(len(texts))]
	case 4:
		return strings.Repeat(texts[r.IntN(len(texts))], r.IntN(500))
	default:
		letters := make([]rune, r.IntN(40))
		for i := range letters {
			letters[i] = r.character()
		}
		return string(letters)
	}
}

func (r *random) character() rune {
	switch r.IntN(6) {
	case 0:
		return rune(r.IntN(0x20))
	case 1:
		return rune(0x80 + r.IntN(0xd800-0x80))
	case 2:
		return rune(0x10000 + r.IntN(0x100000))
	default:
		return rune(0x20 + r.IntN(0x5f))
	}
}

func (r *random) integer() int64 {
	switch r.IntN(6) {
	case 0:
		return 0
	case 1:
		return [...]int64{1, -1, 63, 64, 127, 128, -128, -129, 255, 256, math.MaxInt64, math.MinInt64, math.MaxInt32, math.MinInt32}[r.IntN(14)]
	case 2:
		return int64(r.Uint64())
	default:
		return int64(r.IntN(2000) - 1000)
	}
}

func (r *random) duration() time.Duration {
	switch r.IntN(4) {
	case 0:
		return time.Duration(r.integer())
	case 1:
		return time.Duration(r.IntN(1000)-500) * time.Millisecond
	default:
		return time.Duration(r.IntN(100000)-10000) * time.Second
	}
}

// time has zones and nanoseconds, and stays within the years 1 to 9999 in every zone: RFC 3339 has no others.
func (r *random) time() metav1.Time {
	if r.IntN(10) == 0 {
		return metav1.Time{}
	}
	first := time.Date(2, time.January, 1, 0, 0, 0, 0, time.UTC).Unix()
	last := time.Date(9998, time.December, 31, 0, 0, 0, 0, time.UTC).Unix()
	seconds := first + r.Int64N(last-first)
	if r.IntN(2) == 0 {
		seconds = 1_700_000_000 + r.Int64N(1_000_000_000)
	}
	nanoseconds := [...]int64{0, 1, 999_999_999, 500_000_000, r.Int64N(1_000_000_000)}[r.IntN(5)]
	return metav1.NewTime(time.Unix(seconds, nanoseconds).In(r.zone()))
}

// zone leaves out the minute before UTC: its offset is the mark for UTC in Go's encoding, and Go refuses to send it.
func (r *random) zone() *time.Location {
	zone := r.anyZone()
	if _, offset := time.Unix(0, 0).In(zone).Zone(); offset/60 == -1 {
		return time.UTC
	}
	return zone
}

func (r *random) anyZone() *time.Location {
	switch r.IntN(6) {
	case 0, 1:
		return time.UTC
	case 2:
		return time.FixedZone("quarter hours", (r.IntN(4*28)-4*14)*15*60)
	case 3:
		return time.FixedZone("with seconds", r.IntN(2*14*60*60)-14*60*60)
	case 4:
		// As far as Go can encode: 16 bits of minutes.
		return time.FixedZone("far", (r.IntN(2*math.MaxInt16)-math.MaxInt16)*60)
	default:
		return time.FixedZone("zero", 0)
	}
}

// rawFields is what may stand in a managedFields entry; the API server writes objects, gob takes any bytes.
func (r *random) rawFields() []byte {
	switch r.IntN(8) {
	case 0:
		return nil
	case 1:
		return []byte{}
	case 2:
		return []byte("not JSON \xff\xfe\x00")
	case 3:
		return []byte(`{"f:cut off":`)
	case 4:
		return [][]byte{[]byte("null"), []byte("[]"), []byte("1"), []byte("-0.5"), []byte(`"text"`), []byte(" {} "), []byte("true")}[r.IntN(7)]
	default:
		raw, err := json.Marshal(map[string]any{"f:" + r.text(): map[string]any{".": map[string]any{}, "k:" + r.text(): r.integer()}, "v:": []any{r.text(), nil}})
		if err != nil {
			panic(err)
		}
		return raw
	}
}
