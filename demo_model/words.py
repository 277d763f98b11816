"""The words that sentences, tools and forms are made of, and words that exist nowhere."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from demo_model.draw import Draw

__all__ = [
    "ADJECTIVES", "CITIES", "COUNTED", "NAMES", "NOUNS", "NUMBERS", "PLACES", "THINGS", "TIMES", "VERBS", "common", "invented",
    "name", "number_word", "phrase", "place_name",
]  # fmt: skip

CITIES = """Paris London Berlin Madrid Rome Vienna Oslo Stockholm Copenhagen Helsinki Dublin Lisbon Athens Warsaw Prague
Budapest Brussels Amsterdam Zagreb Belgrade Sofia Bucharest Riga Tallinn Vilnius Kyiv Istanbul Ankara Cairo Tunis Rabat
Lagos Nairobi Accra Dakar Tokyo Osaka Kyoto Seoul Beijing Shanghai Hanoi Bangkok Manila Jakarta Singapore Delhi Mumbai
Chennai Karachi Dhaka Tehran Baghdad Amman Doha Dubai Sydney Melbourne Perth Auckland Toronto Montreal Vancouver Boston
Chicago Seattle Denver Austin Miami Dallas Houston Phoenix Portland Atlanta Havana Lima Quito Santiago Caracas Geneva
Munich Hamburg Cologne Leipzig Dresden Milan Turin Naples Venice Florence Seville Valencia Porto Lyon Nice Bordeaux
Reykjavik Bergen Glasgow Cardiff Leeds Bristol Basel Zurich Bern Graz Linz Gdansk Krakow Odessa Tbilisi Baku""".split()
CITIES += [
    "New York", "San Francisco", "Los Angeles", "Buenos Aires", "Cape Town", "Hong Kong", "Mexico City", "Tel Aviv",
    "Addis Ababa", "Kuala Lumpur", "Rio de Janeiro", "New Delhi", "The Hague", "San Diego", "Las Vegas", "Salt Lake City",
]  # fmt: skip
NAMES = """Anna Ben Clara David Emma Felix Greta Henry Ida Jonas Karin Leo Maria Nils Olga Paul Rosa Simon Tina Viktor
Wanda Yusuf Zoe Ada Bruno Carlos Diana Erik Fatima Georg Hanna Ivan Julia Kofi Lena Marco Nora Oscar Petra Quentin Rita Sven
Tara Umar Vera Walter Xenia Yara Alan Grace Linus Mona Omar Priya Ravi Sara Tom Uma Will Amir Bella Chen Dora Elias Frida
Gustav Helen Igor Jana Kurt Lucy Max Nadia Otto Pia Ralf Sofia Theo Alice Bob Kate Mike Lisa John Mary Peter Susan James""".split()
NOUNS = """lamp table garden bridge engine letter train school market river window kitchen library museum office bicycle
camera battery printer ticket parcel invoice meeting report contract salary recipe soup bread cheese apple forest mountain
island harbour ship captain pilot doctor nurse teacher student baker farmer driver painter singer writer tailor gardener
horse cow sheep dog cat bird fish bee tree flower leaf root seed stone brick roof door wall floor carpet mirror clock watch
phone screen keyboard cable router sensor valve pump filter tank pipe motor wheel brake tyre bus tram boat plane rocket
satellite planet moon storm cloud rain snow wind fire smoke oven fridge kettle cup plate spoon knife bottle basket bag coat
shoe hat glove blanket pillow bed chair sofa shelf book page map song film game ball team coach race prize medal ring coin
bank shop hotel castle tower church hospital factory farm mill mine well lake beach desert valley road path tunnel station
airport platform fence gate key lock box drawer folder file disk server database backup password account token queue order
task project budget forecast booking room seat menu note list timer alarm reminder message event profile image shipment sample
machine tool hammer saw drill nail screw rope ladder paint brush glass metal wood paper plastic cotton wool silk salt sugar
honey butter coffee tea juice milk""".split()
VERBS = """opens:open:opened closes:close:closed repairs:repair:repaired cleans:clean:cleaned paints:paint:painted
sells:sell:sold buys:buy:bought checks:check:checked carries:carry:carried delivers:deliver:delivered visits:visit:visited
builds:build:built designs:design:designed measures:measure:measured stores:store:stored moves:move:moved
watches:watch:watched counts:count:counted collects:collect:collected needs:need:needed uses:use:used makes:make:made
keeps:keep:kept feeds:feed:fed washes:wash:washed drives:drive:driven plans:plan:planned tests:test:tested
replaces:replace:replaced inspects:inspect:inspected protects:protect:protected covers:cover:covered
records:record:recorded controls:control:controlled heats:heat:heated cools:cool:cooled fills:fill:filled
brings:bring:brought finds:find:found loses:lose:lost teaches:teach:taught reads:read:read writes:write:written
sends:send:sent orders:order:ordered prepares:prepare:prepared receives:receive:received produces:produce:produced
grows:grow:grown cuts:cut:cut shows:show:shown holds:hold:held lifts:lift:lifted pulls:pull:pulled""".split()
ADJECTIVES = """old new small large red green blue yellow white black heavy light warm cold dry wet clean dirty quiet loud
fast slow cheap expensive narrow wide deep shallow bright dark soft hard sharp round flat empty full broken safe public
private local foreign modern ancient famous early late wooden golden second third annual daily main spare electric""".split()
PLACES = """in_the_cellar behind_the_station near_the_river on_the_second_floor in_the_old_town at_the_harbour under_the_stairs
next_to_the_school in_the_north on_the_roof at_the_airport outside_the_city in_the_garden beside_the_road in_room_twelve
across_the_street above_the_shop in_the_blue_cabinet at_the_border on_the_island""".replace("\n", " ").split()
TIMES = """every_morning on_Mondays in_winter at_noon since_March before_sunrise after_work once_a_week twice_a_year
at_nine_on_Saturdays until_midnight during_the_summer last_year in_the_evening every_ten_minutes after_lunch
on_the_first_of_May in_spring since_1998 in_2031 at_half_past_six every_second_day""".replace("\n", " ").split()
PLACES = [place.replace("_", " ") for place in PLACES]
TIMES = [time.replace("_", " ") for time in TIMES]
COUNTED = "euros dollars minutes hours days metres kilos litres pages people seats degrees percent watts years".split()
NUMBERS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
eighteen nineteen twenty""".split()
#: What a tool or a form may have as a parameter or a field.
THINGS = (
    [noun for noun in NOUNS if len(noun) > 3]
    + """colour size weight price amount quantity level speed height width
length depth duration distance angle pressure volume limit offset count total score rating priority status mode kind label
title subject topic author owner sender target source region country street language currency category department code
reason comment start end date time day month year age email recipient destination origin host port path format version""".split()
)

_ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl fr gl gr kl kr pl pr sh sk sl sm sn sp st sw th tr qu".split()
_VOWELS = "a e i o u a e i o u ai ea ee ei ie io oa oo ou y".split()
_ENDS = ["", "", "", "", *"n r s t l m d k x ck ll nd ng nt rd rk rn rt sh ss st th".split()]


@cache
def common() -> list[str]:
    """Return the word list of the hand-wired model: two thousand common English words."""
    text = files("vessel_demo_model").joinpath("words.txt").read_text(encoding="utf-8")
    return text.split()[120:]


def invented(draw: Draw, *, longest: int = 3) -> str:
    """Return a word that exists nowhere, or only by chance: what it can do with one it can do with any."""

    def syllable() -> str:
        return draw.choice(_ONSETS) + draw.choice(_VOWELS) + draw.choice(_ENDS)

    return draw.until(lambda: "".join(syllable() for _ in range(draw.randint(1, longest))))


def name(draw: Draw) -> str:
    """Return a person's name, sometimes an invented one or one with a surname."""
    first = draw.one(NAMES) if draw.chance(0.5) else invented(draw).capitalize()
    return first if draw.chance(0.75) else f"{first} {invented(draw).capitalize()}"


def place_name(draw: Draw) -> str:
    """Return the name of a city, often an invented one."""
    if draw.chance(0.5):
        return draw.one(CITIES)
    return " ".join(invented(draw).capitalize() for _ in range(draw.choice((1, 1, 1, 2))))


def phrase(draw: Draw) -> str:
    """Return one to three words that may be searched for or written into a field."""
    words = [
        draw.one(NOUNS) if draw.chance(0.4) else draw.one(common()) if draw.chance(0.6) else invented(draw)
        for _ in range(draw.choice((1, 2, 2, 3)))
    ]
    return " ".join(words)


def number_word(draw: Draw, number: int) -> str:
    """Write a number, as a word if it is small and chance wills it."""
    return NUMBERS[number] if number < len(NUMBERS) and draw.chance(0.4) else str(number)
