"""What each data set should contain, as published or as counted in its released tables, and where to ask for it.

Counts are of the annotation tables (tvaranka/meb, jingtingEmmaLi/CAS-ME-3, the data sets' own pages): docs/datasets.md says
which number comes from where. An empty mapping: no count is known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Published:
    title: str
    fps: str
    micro: int | None = None
    macro: int | None = None
    subjects: int | None = None  # of those with an annotation
    clips: int | None = None
    emotions: Mapping[str, int] = field(default_factory=dict)  # as datasets/emotions.py spells them
    needs: str = ""


PUBLISHED: dict[str, Published] = {
    "casme": Published("CASME", "60", micro=189, needs="CASME_raw_selected or Cropped, and the table"),
    "casme2": Published(
        "CASME II",
        "200",
        micro=255,
        macro=0,
        subjects=26,
        clips=255,
        emotions={
            "others": 99,
            "disgust": 63,
            "happiness": 32,
            "repression": 27,
            "surprise": 25,
            "sadness": 7,
            "fear": 2,
        },
        needs="CASME2-RAW (or _selected, Cropped), CASME2-coding-*.xlsx",
    ),
    "casme_sq": Published(
        "CAS(ME)^2",
        "30",
        micro=57,
        macro=300,
        subjects=22,
        clips=98,
        emotions={"negative": 126, "positive": 124, "others": 82, "surprise": 25},
        needs="rawpic, CAS(ME)^2code_final.xlsx",
    ),
    "casme3a": Published(
        "CAS(ME)^3 part A",
        "30",
        micro=860,
        macro=3346,
        subjects=98,
        clips=956,
        needs="part_A/spNO.*, CAS(ME)3_part_A_v2.xls and the ME label table",
    ),
    "casme3c": Published(
        "CAS(ME)^3 part C",
        "30",
        micro=165,
        macro=0,
        clips=31,
        emotions={"negative": 99, "surprise": 30, "others": 20, "positive": 16},
        needs="part_C, CAS(ME)3_part_C_ME.xlsx",
    ),
    "samm": Published(
        "SAMM",
        "200",
        micro=159,
        macro=0,
        subjects=29,
        clips=159,
        emotions={
            "anger": 57,
            "others": 26,
            "happiness": 26,
            "surprise": 15,
            "contempt": 12,
            "disgust": 9,
            "fear": 8,
            "sadness": 6,
        },
        needs="SAMM/006/..., SAMM_Micro_FACS_Codes_v2.xlsx",
    ),
    "samm_lv": Published(
        "SAMM Long Videos",
        "200",
        micro=159,
        macro=343,
        subjects=30,
        clips=147,
        needs="SAMM_longvideos, SAMM_LongVideos_V*_Release.xlsx",
    ),
    "smic_hs": Published(
        "SMIC HS",
        "100",
        micro=164,
        macro=0,
        subjects=16,
        clips=164,
        emotions={"negative": 70, "positive": 51, "surprise": 43},
        needs="SMIC_all_raw/HS",
    ),
    "smic_vis": Published("SMIC VIS", "25", micro=71, macro=0, subjects=8, clips=71, needs="SMIC_all_raw/VIS"),
    "smic_nir": Published("SMIC NIR", "25", micro=71, macro=0, subjects=8, clips=71, needs="SMIC_all_raw/NIR"),
    "smic_hs_e": Published("SMIC HS E", "100", clips=157, needs="HS_long/SMIC_HS_E, SMIC-HS-E_annotation.xlsx"),
    "smic_vis_e": Published("SMIC VIS E", "25", clips=71, needs="VIS_long/SMIC_VIS_E, SMIC-VIS-E_annotation.xlsx"),
    "smic_nir_e": Published("SMIC NIR E", "25", clips=71, needs="NIR_long/SMIC_NIR_E, SMIC-NIR-E_annotation.xlsx"),
    "mmew": Published(
        "MMEW", "90", micro=300, macro=0, subjects=36, clips=300, needs="Micro_Expression, MMEW_Micro_Exp.xlsx"
    ),
    "4dme": Published(
        "4DME",
        "60",
        micro=267,
        macro=0,
        subjects=41,
        clips=267,
        needs="gray_micro, 4DME_Labelling_Micro_release v1.xlsx",
    ),
    "dfme": Published(
        "DFME (training part)", "200-500", micro=1856, macro=0, subjects=176, clips=1856, needs="DFME_train, its table"
    ),
    "plain": Published(
        "your own data", "said in the table", needs="annotations.csv beside videos or folders of frames"
    ),
}
