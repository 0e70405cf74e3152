"""Prompts with known findings, written from the published advice: for each rule some that it must flag and some that
it must leave alone."""

from __future__ import annotations

# rule -> (prompt, the words that are flagged, the prompt after one click)
FLAGGED: dict[str, list[tuple[str, str, str]]] = {
    "abstract_pile": [
        ("美丽梦幻震撼的高级画面", "美丽梦幻震撼的高级", "清晨侧光，色彩清透，薄雾柔光，粉紫渐变天空"),
        ("非常美丽而梦幻的森林里，一只鹿", "美丽而梦幻", "森林里，一只鹿"),
        ("唯美、高端大气的海报", "唯美、高端大气", "海报"),
        ("一座雪山，震撼，绝美", "震撼，绝美", "一座雪山"),
        ("震撼的城市，神秘的小巷，绝美的少女", "震撼的城市，神秘的小巷，绝美", "城市，小巷，少女"),
        ("a stunning, beautiful castle", "stunning, beautiful", "a castle"),
    ],
    "vague_number": [
        ("几棵树", "几棵树", "3棵松树，树干直径约40cm"),
        ("很多人在跑", "很多人", "6名穿运动服的跑者在跑，彼此间隔约2m"),
        ("草原上有一些马", "一些马", "草原上有4匹枣红马，肩高约1.6m"),
        ("夜市里几辆黄色出租车驶过", "几辆黄色出租车", "夜市里3辆黄色出租车驶过"),
        ("无数的气球，蓝天", "无数的气球", "12个红色气球，直径约30cm，蓝天"),
        ("several red cars on a road", "several red cars", "3 red cars on a road"),
    ],
    "bare_style": [
        ("水墨风", "水墨风", "水墨风国画，宣纸纹理，淡墨晕染"),
        ("一只猫在窗台上, 油画风格", "油画风格", "一只猫在窗台上, 布面油画, 厚涂笔触, 画布纹理"),
        ("水墨风的小桥", "水墨风", "小桥，水墨风国画，宣纸纹理，淡墨晕染"),
        ("少女站在海边 像素风", "像素风", "少女站在海边，16位游戏像素画，方形大像素，有限调色板"),
        (
            "a girl by the sea, anime style",
            "anime style",
            "a girl by the sea, hand-drawn anime, cel shading, clean outlines",
        ),
    ],
    "several_subjects": [
        ("一个女孩和一只狗在海边散步", "女孩和一只狗", "一个(女孩:1.3)和一只狗在海边散步"),
        ("骑士、巨龙、公主在城堡前", "骑士、巨龙、公主", "(骑士:1.3)、巨龙、公主在城堡前"),
        ("一只猫，一只狗，草地上", "猫，一只狗", "一只(猫:1.3)，一只狗，草地上"),
        ("一个红色的球与蓝色的方块", "球与蓝色的方块", "一个红色的(球:1.3)与蓝色的方块"),
        ("a cat and a dog in the snow", "cat and a dog", "a (cat:1.3) and a dog in the snow"),
    ],
    "conflict": [
        ("白天的街道，一只猫，夜晚，霓虹", "夜晚", "白天的街道，一只猫，霓虹"),
        ("盛夏的海滩，大雪纷飞的雪地", "大雪纷飞", "盛夏的海滩"),
        ("黑白电影，色彩鲜艳的旗帜", "色彩鲜艳", "黑白电影，旗帜"),
        ("少女特写，航拍，大全景", "航拍", "少女特写"),
        ("晴朗的草原上，一匹马，暴雨", "暴雨", "晴朗的草原上，一匹马"),
        ("a city at noon, a fox, midnight", "midnight", "a city at noon, a fox"),
    ],
    "verb_first": [
        ("飞过一只鸟", "飞过一只鸟", "一只鸟飞过"),
        ("奔跑着一只猎豹，草原上", "奔跑着一只猎豹", "一只猎豹奔跑着，草原上"),
        ("跳舞, 一个女孩", "跳舞", "一个女孩, 跳舞"),
        ("抱着一只猫，窗边", "抱着一只猫", "一位少女抱着一只猫，窗边"),
        ("请帮我生成一段小猫跑步的视频", "请帮我生成", "小猫跑步"),
        ("画一个红苹果", "画", "一个红苹果"),
        ("create a video of a cat", "create a video of", "a cat"),
    ],
    "part_order": [
        ("8K，电影宽银幕，一只狐狸在森林里", "8K，电影宽银幕", "一只狐狸在森林里，电影宽银幕，8K"),
        ("逆光金边, 少女站在悬崖边", "逆光金边", "少女站在悬崖边, 逆光金边"),
        ("水彩画，清晨，一艘小船", "水彩画，清晨", "一艘小船，清晨，水彩画"),
        (
            "masterpiece, oil painting, a horse on a beach",
            "masterpiece, oil painting",
            "a horse on a beach, oil painting, masterpiece",
        ),
    ],
    "missing_part": [
        ("草原上，逆光，胶片颗粒，8K", "", "一只青灰色机械猫，草原上，逆光，胶片颗粒，8K"),
        ("一只猎豹，逆光，胶片颗粒，8K", "", "一只猎豹，雨后东京街头，逆光，胶片颗粒，8K"),
        ("一只猎豹在草原上，胶片颗粒，8K", "", "一只猎豹在草原上，侧逆光，轮廓金边，胶片颗粒，8K"),
        ("一只猎豹在草原上，逆光，8K", "", "一只猎豹在草原上，逆光，电影宽银幕，胶片颗粒感，8K"),
        ("一只猎豹在草原上，逆光，胶片颗粒", "", "一只猎豹在草原上，逆光，胶片颗粒，浅景深，8K细节"),
        ("a fox in a forest, film grain, 8K", "", "a fox in a forest, golden rim light from behind, film grain, 8K"),
    ],
}

LEFT_ALONE: dict[str, list[str]] = {
    "abstract_pile": [
        "美丽的少女站在海边",
        "薄雾柔光，粉紫渐变天空，一座雪山",
        "神秘的森林，一只梦幻的水母",
        "大气层外的空间站",
        "a beautiful girl by the sea",
    ],
    "vague_number": [
        "3棵松树，树干直径约40cm",
        "几何图形在旋转",
        "大量细节，一座城堡",
        "几乎透明的水母",
        "数学老师站在黑板前",
        "some fog over a lake",
    ],
    "bare_style": [
        "水墨风国画，宣纸纹理，淡墨晕染",
        "一只猫，油画风格，厚涂笔触",
        "水墨画，一叶小舟",
        "一只青灰色机械猫在雨夜东京街头踱步,赛博朋克风格",
        "风吹过草原",
    ],
    "several_subjects": [
        "一只猫在窗台上",
        "少女抱着猫坐在窗边",
        "一个(女孩:1.3)和一只狗在海边",
        "骑士骑着马穿过森林",
        "悬浮车流穿梭于摩天楼之间",
    ],
    "conflict": [
        "城市从白天到夜晚，延时摄影",
        "雨夜的街头，霓虹灯牌",
        "没有月光的夜晚",
        "胶片颗粒感，8K细节，少女",
        "没有霓虹的黑白电影",
        "day turns into night over a city",
    ],
    "verb_first": [
        "静卧的猎豹",
        "穿红斗篷的少女站在雪山悬崖边",
        "一只鸟飞过雪山",
        "流浪猫坐在屋顶上",
        "制作精美的瓷器，桌上",
        "下着雨的街道",
    ],
    "part_order": [
        "一只狐狸在森林里，逆光，水彩画，8K",
        "2077年新上海,悬浮车流穿梭于玻璃幕墙摩天楼之间,8K",
        "咖啡馆,木质吧台",
        "水墨国画，宣纸纹理，淡墨晕染",
    ],
    "missing_part": [
        "穿红斗篷的少女站在雪山悬崖边,逆光金边,胶片颗粒感,电影宽银幕,8K细节",
        "一只狐狸在森林里，晨光，水彩画，景深",
        "(机械猫:1.5)在(东京涩谷十字路口:1.2)，霓虹，赛博朋克，8K",
        "a fox in a forest, golden hour, film grain, masterpiece",
        "",
    ],
}
