"""Words that fill the templates, as far as no package has them. All of it is general knowledge."""

from __future__ import annotations

from functools import cache

KNOWN_ORGANISATIONS = """
IBM;Microsoft;Google;Apple;Amazon;Facebook;Intel;Oracle;SAP;Siemens;Bosch;Philips;Nokia;Ericsson;Samsung;
Sony;Toyota;Honda;Nissan;Ford;General Motors;Volkswagen;BMW;Mercedes-Benz;Renault;Peugeot;Fiat;Volvo;Boeing;
Airbus;Lufthansa;British Airways;Air France;Delta;United Airlines;FedEx;UPS;DHL;Walmart;Costco;Target;Tesco;
Carrefour;Aldi;Lidl;IKEA;Nestlé;Unilever;Danone;Coca-Cola;Pepsi;McDonald's;Starbucks;Burger King;Subway;KFC;
Visa;Mastercard;PayPal;American Express;Bank of America;Wells Fargo;Chase;Citibank;JPMorgan;Goldman Sachs;
Morgan Stanley;Barclays;HSBC;Lloyds;Deutsche Bank;Commerzbank;BNP Paribas;Société Générale;Santander;BBVA;
UBS;Credit Suisse;ING;Rabobank;Pfizer;Novartis;Roche;Bayer;Merck;Sanofi;AstraZeneca;GlaxoSmithKline;
Johnson & Johnson;Moderna;BioNTech;Shell;BP;Exxon;Chevron;Total;Gazprom;Verizon;AT&T;T-Mobile;Vodafone;
Orange;Telefónica;BBC;CNN;Reuters;Associated Press;AFP;The New York Times;The Guardian;Washington Post;
Le Monde;Der Spiegel;Disney;Netflix;Warner Bros;Universal;NBC;CBS;ABC;Fox News;NASA;FBI;CIA;NSA;FDA;CDC;NIH;
EPA;IRS;NATO;UN;United Nations;UNESCO;UNICEF;WHO;World Health Organization;World Bank;IMF;European Union;EU;
European Commission;Red Cross;Greenpeace;Amnesty International;Oxfam;Harvard;Stanford;MIT;Yale;Princeton;
Oxford University;University of Cambridge;Columbia University;Johns Hopkins;Mayo Clinic;Cleveland Clinic;
Kaiser Permanente;Blue Cross;Aetna;Cigna;UnitedHealth;Medicare;Congress;Senate;Parliament;Supreme Court;
Pentagon;Kremlin;White House;State Department;Department of Justice;Department of Defense;
Ministry of Health;Ministry of Defence;Home Office;National Science Foundation;Max Planck Society;CERN;
Twitter;LinkedIn;Uber;Lyft;Airbnb;eBay;Spotify;Tesla;SpaceX;Adobe;Cisco;HP;Dell;Lenovo;Huawei;Xiaomi;
Alibaba;Tencent;Baidu;Sun Microsystems;Red Hat;Mozilla;Canonical;Manchester United;Arsenal;Chelsea;
Real Madrid;Barcelona FC;Bayern Munich;Juventus;Lakers;Yankees;Red Sox;Dallas Cowboys;Nintendo;Sega;
Motorola;Hewlett-Packard;General Electric;3M;Caterpillar;Lockheed Martin;Raytheon;Procter & Gamble;Colgate;
L'Oréal;Nike;Adidas;Puma;Zara;H&M;Prada;Gucci;Rolex;Swatch;Lego
"""

NRP = """
American;British;English;Scottish;Welsh;Irish;French;German;Italian;Spanish;Portuguese;Dutch;Belgian;Swiss;
Austrian;Danish;Swedish;Norwegian;Finnish;Icelandic;Polish;Czech;Slovak;Hungarian;Romanian;Bulgarian;Greek;
Turkish;Cypriot;Maltese;Croatian;Serbian;Bosnian;Slovenian;Slovene;Macedonian;Albanian;Kosovar;Montenegrin;
Estonian;Latvian;Lithuanian;Russian;Ukrainian;Belarusian;Moldovan;Georgian;Armenian;Azerbaijani;Kazakh;
Uzbek;Turkmen;Tajik;Kyrgyz;Afghan;Pakistani;Indian;Bangladeshi;Sri Lankan;Nepalese;Nepali;Bhutanese;Burmese;
Thai;Laotian;Cambodian;Vietnamese;Malaysian;Malay;Singaporean;Indonesian;Filipino;Chinese;Taiwanese;
Japanese;Korean;South Korean;North Korean;Mongolian;Iranian;Persian;Iraqi;Syrian;Lebanese;Jordanian;Israeli;
Palestinian;Saudi;Yemeni;Omani;Emirati;Qatari;Kuwaiti;Bahraini;Egyptian;Libyan;Tunisian;Algerian;Moroccan;
Sudanese;Ethiopian;Eritrean;Somali;Kenyan;Ugandan;Tanzanian;Rwandan;Congolese;Nigerian;Ghanaian;Senegalese;
Malian;Ivorian;Cameroonian;Angolan;Zambian;Zimbabwean;Mozambican;Malawian;South African;Namibian;Botswanan;
Malagasy;Canadian;Mexican;Guatemalan;Honduran;Salvadoran;Nicaraguan;Costa Rican;Panamanian;Cuban;Jamaican;
Haitian;Dominican;Puerto Rican;Colombian;Venezuelan;Ecuadorian;Peruvian;Bolivian;Chilean;Argentine;
Argentinian;Uruguayan;Paraguayan;Brazilian;Australian;New Zealander;Fijian;Samoan;Tongan;European;African;
Asian;Latin American;Arab;Kurdish;Basque;Catalan;Breton;Tibetan;Uyghur;Roma;Christian;Catholic;
Roman Catholic;Protestant;Orthodox;Lutheran;Anglican;Baptist;Methodist;Mormon;Jewish;Muslim;Sunni;Shiite;
Islamic;Hindu;Buddhist;Sikh;Jehovah's Witness;Quaker;Evangelical;Republican;Democrat;Democratic;
Conservative;Labour;Liberal;Socialist;Communist;Germans;Americans;Russians;Italians;Poles;Turks;Jews;
Muslims;Christians;Catholics;Hindus;Arabs;Kurds;Hispanic;Latino;Native American;Aboriginal;Inuit;Maori;
Afro-American;African-American;Caucasian
"""

ROMANISED_FIRST = """
Wei;Fang;Ming;Li;Jing;Xiaoming;Hao;Yan;Lei;Mei;Xin;Jun;Hiroshi;Yuki;Takeshi;Haruka;Kenji;Sakura;Akira;Naoko;
Min-jun;Ji-woo;Seo-yeon;Hyun;Sung-ho;Eun-ji;Mohammed;Muhammad;Ahmed;Fatima;Aisha;Omar;Ali;Hassan;Hussein;
Khalid;Layla;Yusuf;Ibrahim;Mariam;Zainab;Abdullah;Abdul;Nadia;Samir;Rania;Tariq;Raj;Priya;Amit;Anjali;
Sanjay;Deepak;Sunita;Vikram;Lakshmi;Ravi;Kavita;Arjun;Neha;Rahul;Pooja;Suresh;Anil;Meera;Oluwaseun;Chinedu;
Ngozi;Adaeze;Emeka;Kwame;Ama;Kofi;Abena;Thabo;Sipho;Nomsa;Amina;Fatou;Moussa;Aminata;Nguyen;Minh;Linh;Thi;
Anh;Huong;Tuan;Somchai;Siti;Budi;Dewi;Putri;Agus;Jose;Maria;Juan;Mehmet;Ayşe;Mustafa;Elif;Emre;Zeynep;
Dmitri;Olga;Sergei;Natasha;Ivan;Svetlana;Vladimir;Yelena;Oleksandr;Oksana;Giorgi;Nino;Aram;Levon;Yosef;
Shira;Moshe;Rivka;Avi;Noa;Parisa;Reza;Farhad;Shirin
"""

ROMANISED_LAST = """
Wang;Li;Zhang;Liu;Chen;Yang;Huang;Zhao;Wu;Zhou;Xu;Sun;Ma;Zhu;Hu;Lin;Guo;He;Gao;Luo;Tanaka;Suzuki;Sato;
Watanabe;Ito;Yamamoto;Nakamura;Kobayashi;Kim;Lee;Park;Choi;Jung;Kang;Cho;Al-Hassan;Al-Sayed;El-Masri;Haddad;
Khoury;Mansour;Farouk;Nasser;Hashimi;Khan;Ahmed;Hussain;Malik;Sheikh;Chaudhry;Patel;Shah;Singh;Kumar;Sharma;
Gupta;Verma;Reddy;Rao;Iyer;Nair;Das;Mukherjee;Banerjee;Chatterjee;Okafor;Adeyemi;Okonkwo;Balogun;Eze;Mensah;
Owusu;Boateng;Dlamini;Nkosi;Mbeki;Diallo;Traoré;Keita;Touré;Ndiaye;Nguyen;Tran;Le;Pham;Vu;Dang;Bui;Suharto;
Widodo;Santoso;Wijaya;Yılmaz;Kaya;Demir;Şahin;Çelik;Ivanov;Petrov;Smirnov;Kuznetsov;Popova;Volkova;
Shevchenko;Kovalenko;Bondarenko;Melnyk;Beridze;Sargsyan;Cohen;Levi;Mizrahi;Friedman;Hosseini;Ahmadi;Karimi;
Rahimi
"""

INDUSTRIES = """
Systems;Software;Technologies;Foods;Motors;Airlines;Bank;Insurance;Energy;Pharmaceuticals;Electronics;
Logistics;Consulting;Partners;Holdings;Media;Publishing;Records;Pictures;Studios;Foundation;Institute;
Laboratories;Clinic;Hospital;Medical Center;School;College;Academy;Church;Museum;Library;Theatre;Hotel;
Restaurant;Bakery;Pharmacy;Construction;Plumbing;Steel;Chemicals;Textiles;Furniture;Realty;Capital;
Securities;Telecom;Networks;Robotics;Biotech
"""

SUFFIXES = """
Inc;Inc.;Ltd;Ltd.;LLC;Corp;Corp.;Corporation;Company;Co.;Group;GmbH;AG;S.A.;SA;S.p.A.;BV;N.V.;AB;Oy;PLC;plc;
LLP;& Co.;& Sons;and Sons;Pty Ltd;SARL;KG;SE;e.V.;S.L.;Ltda;AS;A/S
"""

ADJECTIVES = """
National;International;Global;United;First;General;American;European;Pacific;Atlantic;Northern;Southern;
Central;Royal;Advanced;Applied;Digital;Green;Blue;Golden;Silver;Smart;Bright;Modern;Universal;Federal;
Premier;Allied
"""

BODIES = """
Department of Education;Department of Energy;Department of Transportation;Ministry of Finance;
Ministry of Justice;Office of Research;Board of Trustees;City Council;Police Department;Fire Department;
Chamber of Commerce;Children's Hospital;General Hospital;Memorial Hospital;University Hospital;
Medical Center;High School;Public Library;Football Club;Historical Society;School of Medicine;
Airport Authority;Housing Association;Rotary Club;Court of Appeal
"""

REGIONS = """
Bavaria;Bayern;Saxony;Hesse;Catalonia;Andalusia;Galicia;Tuscany;Lombardy;Sicily;Sardinia;Normandy;Brittany;
Provence;Scotland;Wales;England;Northern Ireland;Yorkshire;Kent;Essex;Cornwall;Ontario;Quebec;Alberta;
British Columbia;Queensland;Victoria;New South Wales;Punjab;Gujarat;Kerala;Bihar;Siberia;Crimea;Flanders;
Wallonia;Tyrol;Bohemia;Moravia;Transylvania;Silesia;Lapland;Jutland;Zealand;Anatolia;Kurdistan;Tibet;
Sichuan;Guangdong;Hokkaido;Okinawa;Java;Sumatra;Bali;Patagonia;Amazonas;Yucatan;Baja California;the Midwest;
New England;Middle East;Europe;Africa;Asia;North America;South America;Latin America;Scandinavia;
the Balkans;Eastern Europe;Southeast Asia;Central America;the Caribbean;the Alps;the Rhine;the Danube;
the Thames;the Nile;Mount Everest;Lake Michigan;the Black Sea;Manhattan;Brooklyn;Queens;the Bronx;Hollywood;
Silicon Valley;Wall Street;Downing Street;Times Square;Central Park;Heathrow
"""

ALIASES = """
USA;U.S.;US;the United States;United States of America;UK;U.K.;the United Kingdom;Great Britain;Britain;
Holland;Czech Republic;Russia;South Korea;North Korea;Vietnam;Iran;Syria;Ivory Coast;Burma;Taiwan;Bosnia;
Macedonia;Soviet Union;Yugoslavia;UAE;DRC;Deutschland;España;Italia;Österreich;Schweiz;Suisse;Nederland;
België;Belgique;Brasil;México;Polska;Sverige;Norge;Danmark;Suomi;Türkiye
"""

JOBS = """
Sales Manager;Chief Executive Officer;Director of Research;Software Engineer;Project Lead;Head of Finance;
Nurse;Physician;Attorney at Law;Account Executive;Marketing Director;Professor of Physics;
Research Assistant;Secretary;Vice President;Team Leader;Consultant;Geschäftsführer;Directeur;Gerente;Editor;
Librarian;Managing Partner
"""

DRUGS = """
Tylenol;Advil;Motrin;Aleve;Aspirin;Lipitor;Crestor;Zocor;Plavix;Coumadin;Eliquis;Xarelto;Lasix;Norvasc;
Diovan;Toprol;Lopressor;Coreg;Zestril;Glucophage;Metformin;Januvia;Lantus;Humalog;Novolog;Synthroid;
Levothyroxine;Prozac;Zoloft;Paxil;Lexapro;Celexa;Wellbutrin;Effexor;Cymbalta;Xanax;Valium;Ativan;Klonopin;
Ambien;Lunesta;Ritalin;Adderall;Seroquel;Zyprexa;Risperdal;Abilify;Haldol;Depakote;Lamictal;Keppra;Dilantin;
Tegretol;Neurontin;Lyrica;Topamax;Sinemet;Aricept;Namenda;Flexeril;Soma;Vicodin;Percocet;Norco;Oxycodone;
Morphine;Dilaudid;Fentanyl;Toradol;Mobic;Celebrex;Prednisone;Medrol;Decadron;Flonase;Nasonex;Claritin;
Zyrtec;Allegra;Benadryl;Singulair;Albuterol;Ventolin;Advair;Spiriva;Pulmicort;Atrovent;Xopenex;Mucinex;
Robitussin;Nexium;Prilosec;Protonix;Pepcid;Zantac;Reglan;Zofran;Colace;Dulcolax;MiraLax;Imodium;Amoxicillin;
Augmentin;Keflex;Levaquin;Cipro;Bactrim;Zithromax;Vancomycin;Rocephin;Flagyl;Valtrex;Tamiflu;Diflucan;
Fosamax;Boniva;Premarin;Viagra;Cialis;Flomax;Proscar;Botox;Humira;Enbrel;Remicade;Heparin;Lovenox;Digoxin;
Amiodarone;Nitroglycerin;Potassium;Calcium;Vitamin D;Insulin;Lidocaine;Marcaine;Ancef;Versed
"""

CAPITALS = """
MRI;CT;EKG;ECG;EEG;BP;HR;CBC;BUN;HIV;COPD;CHF;CAD;GERD;UTI;DVT;ER;ICU;OR;IV;DNA;RNA;PCR;HPI;ROS;PMH;NPO;PRN;
BMI;LDL;HTML;XML;HTTP;URL;API;CPU;GPU;RAM;USB;PDF;CSV;JSON;SQL;TCP;IP;DNS;SSL;SSH;FTP;LED;LCD;DVD;TV;PC;ID;
FAQ;CEO;CFO;HR;PR;VAT;TBD;FYI;ASAP;RSVP;PS;AM;PM;GMT;EST;PST;NOTE;TODO;WARNING;ERROR;INFO;DEBUG;FROM;TO;
DATE;SUBJECT;TOTAL;PAGE;NAME
"""

THINGS = """
Foley;Doppler;Holter;Babinski;Romberg;Parkinson;Alzheimer;Crohn;Hodgkin;Down;Bell;Graves;Addison;Cushing;
Marfan;Christmas;Easter;Thanksgiving;Halloween;Ramadan;Hanukkah;Internet;Web;Linux;Windows;Python;Java;Unix;
Perl;Android;Bluetooth;Ethernet;Chrome;Firefox;Excel;Word;Outlook;Kindle;Bible;Koran;Torah;Olympics;Oscar;
Grammy;Renaissance;English;Latin;Spanish;Chapter;Section;Figure;Table;Appendix;Introduction;Abstract;
Conclusion;Mom;Dad;Doctor;Patient;Nurse;Officer;Customer;Agent;Manager;Director;President;Professor;Christ;
God;Jesus;Moon;Earth;Mars;Venus;Internet Explorer
"""

VERBS = """
said to;told;asked;shouted at;laughed at;smiled at;looked at;stared at;waved to;ran to;walked with;
talked to;spoke with;argued with;agreed with;met;saw;heard;helped;called;phoned;texted;emailed;wrote to;
visited;married;divorced;kissed;hugged;loved;hated;liked;missed;followed;chased;found;lost;left;hired;fired;
promoted;replaced;succeeded;beat;defeated;hit;killed;saved;rescued;warned;threatened;blamed;accused;sued;
thanked;praised;criticised;interviewed;introduced;invited;joined;taught;trained;coached;treated;examined;
operated on;cared for;worked for;worked with;reported to;voted for;believed;trusted;forgave;remembered;
forgot;recognised;ignored;avoided;surprised;paid;owed;lent money to;bought from;sold a car to;
gave a book to;sent flowers to;cooked for;danced with;played against;sang for;lied to;listened to
"""

DOINGS = """
was late again;is on holiday;has left the company;will arrive at noon;did not answer;won the prize;
lost the election;died last night;fell asleep;broke a leg;moved out;got married;had a baby;
is seven years old;was born in the winter;retired early;wrote the report;signed the contract;refused to pay;
drove home;missed the train;stayed at home;complained of pain;felt dizzy;stopped smoking;takes the bus;
plays the piano;speaks five languages;is so stubborn;cannot come tomorrow;needs a doctor;has a fever;
likes swimming;won't be there;is my best friend;was very kind;looks tired;runs every morning;has no idea;
made a mistake;owes me money;is in a meeting;got a new job;just called;said yes;said nothing;shook his head;
raised her hand;opened the door;closed the window;wants to know the truth
"""

OF_PERSONS = """
The {} novel is different;the {} case;the {} method;the {} report;{}'s house;{}'s account;a letter from {};
a call from {};the death of {};the trial of {};the wife of {};a friend of {};written by {};signed by {};
sent by {};owned by {};painted by {};led by {};according to {};thanks to {};because of {};together with {};
without {};a picture of {};in front of {};next to {};behind {};for {};from {};with {};about {};to {};and {};
but {};when {};while {};if {};Why is {} here?;Where is {}?;Who invited {}?;Did {} call?;Does {} know?;
Can {} come?;Has {} paid?;Is {} at home?;Her maiden name is {};His real name is {};a man named {};
a girl called {};a certain {};the late {};little {};old {};young {};poor {};dear {};our {};my son {};
my boss {};my doctor {};their teacher {};the nurse {};the singer {};the author {};the actress {};
the president {};the defendant {};the driver {};the victim {};the patient {}
"""

OF_PLACES = """
in {};to {};from {};near {};via {};through {};outside {};across {};around {};towards {};north of {};
arrived in {};arrived at {};went to {};left {} on Monday;moved to {};a trip to {};a flight to {};
the train to {};the road to {};the mayor of {};the people of {};the city of {};the town of {};
the streets of {};the port of {};the history of {};born in {};died in {};buried in {};lives in {};
stays in {};based in {};made in {};shipped to {};delivered to {};a hotel in {};a hospital in {};
a school in {};a shop in {};the weather in {};the war in {};the elections in {};all over {};
{} is a small town;{} has a new mayor;{} lies on the coast;{} was flooded;welcome to {};back in {};
here in {};greetings from {};{} airport;{} station;downtown {};{}-based;the {} area;the {} region;
the {} office
"""

OF_BODIES = """
at {};for {};from {};by {};with {};works at {};works for {};employed by {};spent a year at {};
an internship at {};a job at {};the director of {};the owner of {};the chairman of {};the board of {};
shares in {};a customer of {};an employee of {};a spokesman for {};the headquarters of {};
which later became {};formerly {};a subsidiary of {};acquired by {};merged with {};founded {};
{} was founded in;{} went bankrupt;{} said on;{} has announced;{} makes phones;{} sells insurance;{} hired;
{} fired;{} sued;the {} website;the {} app;a {} store;my {} account;a {} product;called {} to complain;
an invoice from {};a letter from {};banks like {};companies such as {};a study by {};{} report
"""

STREETS = "Street;St;Avenue;Ave;Road;Rd;Lane;Drive;Dr;Boulevard;Court;Way;Place;Terrace"
DAYS = "Monday;Tuesday;Wednesday;Thursday;Friday;Saturday;Sunday"
MONTHS = "January;February;March;April;May;June;July;August;September;October;November;December;Jan;Feb;Mar;Sept;Oct"
TITLES = "Mr.;Mrs.;Ms.;Dr.;Prof.;Sir;Mr;Mrs;Ms;Dr;Herr;Frau;Madame;Don;Signora"
PARTICLES = "van;van der;de;de la;von;di;da;dos;el;al;bin;le;ter;zu;Mc;O'"


@cache
def listed(words: str) -> list[str]:
    """Read one of the lists above."""
    return [word.strip() for word in words.replace("\n", "").split(";") if word.strip()]
