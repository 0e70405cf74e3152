"""Words for times of day and styles that the grammar does not have: `training.wording` teaches the text encoder that
they mean what the grammar's own do.

Owns the words. None of them stands in a held-out sentence of `bench.quality` in free wording
(`tests/training/test_synonyms.py`): what is measured there is how other words than these are understood.
"""

from __future__ import annotations

# fmt: off
TIMES_ZH: dict[str, tuple[str, ...]] = {
    "day": ("大中午", "午后", "下午", "阳光下", "大太阳底下", "太阳高照", "白天时分", "天亮着", "亮堂堂的白天"),
    "dusk": (
        "天色渐晚", "天色渐暗", "天色将晚", "日落西山", "太阳快下山了", "太阳正在落下", "夕照", "晚霞",
        "落霞", "霞光满天", "黄昏来临", "傍晚来临", "夕阳余晖", "金色的黄昏", "日落的时候", "傍晚的时候", "天边有晚霞",
        "快到晚上了", "天要黑了", "落日", "落日映照", "薄暮",
    ),
    "night": (
        "夜深了", "夜深人静", "三更半夜", "星空下", "月光下", "月色下", "大半夜", "后半夜", "深更半夜", "夜晚时分",
        "天黑以后", "天已经黑了", "天黑的时候", "夜里的时候", "月亮下", "黑漆漆的夜晚", "夜色深沉", "满天星星的夜晚",
    ),
}
TIMES_EN: dict[str, tuple[str, ...]] = {
    "day": ("in the daytime", "at midday", "in the afternoon", "in broad daylight", "in the morning", "daytime"),
    "dusk": (
        "as the sun goes down", "at twilight", "twilight", "in the evening", "at golden hour", "under a setting sun",
        "in the last light of the day", "as evening falls", "in the sunset", "evening light", "the sun is going down",
    ),
    "night": (
        "after dark", "at midnight", "under the stars", "in the moonlight", "nighttime", "in the night", "a dark night",
        "in the middle of the night",
    ),
}
STYLES_ZH: dict[str, tuple[str, ...]] = {
    "Cinematic Realism": (
        "院线电影", "电影一样真实", "写实大片", "真实的电影画面", "电影级", "实拍电影", "影视级画面",
    ),
    "Anime Studio Ghibli": (
        "日本动漫", "手绘动漫", "卡通", "二次元动画", "日漫", "吉卜力那种动漫",
    ),
    "Cyberpunk Neon": (
        "赛博都市", "霓虹风", "霓虹朋克", "赛博世界", "赛博霓虹", "紫红色的霓虹光", "赛博科幻",
    ),
    "Oil Painting": (
        "油彩", "油画布", "油画笔法", "颜料厚厚的油画", "名家油画",
    ),
    "Chinese Ink Wash": (
        "写意国画", "毛笔水墨", "宣纸水墨", "中国山水画", "水墨渲染", "墨笔画", "淡墨", "水墨山水",
    ),
    "Watercolor": (
        "水彩绘本", "水彩手绘", "清淡的水彩", "水彩笔触", "水彩作品", "水彩画纸",
    ),
    "Pixel Art": (
        "像素小人", "像素块画面", "像素方块", "低像素画面", "街机像素", "马赛克像素", "8bit像素",
    ),
    "Clay Stop Motion": (
        "黏土小人", "粘土捏成", "橡皮泥动画", "黏土玩偶", "捏泥人", "泥人动画", "粘土定格短片", "黏土捏的",
    ),
    "3D Render": (
        "三维建模", "三维模型", "立体三维", "3D模型", "3D电影", "三维立体", "3D立体",
    ),
    "Film Noir": (
        "黑白侦探电影", "黑白色调", "黑白光影", "黑白悬疑片", "只有黑白两色", "黑白摄影",
    ),
    "Vintage 1950s Film": (
        "老式电影", "复古影片", "褪色的老胶片", "五十年代影片", "怀旧片", "老旧的胶片", "上个世纪的老片", "发黄的胶片",
    ),
    "Paper Cut": (
        "纸剪的", "剪纸窗花", "红纸剪纸", "层层剪纸", "彩纸拼贴", "纸片剪贴", "手工剪纸", "卡纸拼成",
    ),
}
STYLES_EN: dict[str, tuple[str, ...]] = {
    "Cinematic Realism": ("a realistic movie", "movie scene", "film-like realism", "a blockbuster", "cinematic shot"),
    "Anime Studio Ghibli": ("Japanese anime", "hand-drawn anime", "Miyazaki style", "anime film"),
    "Cyberpunk Neon": ("neon cyberpunk", "cyberpunk colors", "neon punk", "cyberpunk world"),
    "Oil Painting": ("oils", "classic oil painting", "an impressionist oil painting"),
    "Chinese Ink Wash": ("sumi ink", "brush and ink", "Chinese brush painting", "ink on rice paper"),
    "Watercolor": ("watercolour", "watercolor sketch", "soft watercolor", "watercolor illustration"),
    "Pixel Art": ("pixels", "pixelated", "8-bit pixel art", "retro pixel graphics", "pixel graphics"),
    "Clay Stop Motion": ("clay figures", "plasticine animation", "stop motion clay", "clay models", "plasticine"),
    "3D Render": ("a 3d model", "3D CGI", "computer 3d", "3d graphics", "rendered in three dimensions"),
    "Film Noir": ("black and white detective film", "moody black and white"),
    "Vintage 1950s Film": ("1950s movie", "fifties film", "faded old film", "an old 1950s movie", "retro film"),
    "Paper Cut": ("cut paper", "papercut", "paper cutouts", "paper collage", "cut-out paper"),
}
# fmt: on
